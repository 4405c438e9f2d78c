"""Audio files: fetched, decoded to 16-bit WAV for the switch, kept in a spool, merged after recording."""


class MediaError(Exception):
    """Audio that cannot be had. `message` is what the client is told in playback.error."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
