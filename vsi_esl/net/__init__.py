"""Connections to addresses that others named: checked URLs, the address guard, racing of addresses."""


class NetError(Exception):
    """An address that cannot be had or must not be used. `message` says so for whoever named it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
