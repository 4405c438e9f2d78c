"""Shared test set-up."""

import logging

import pytest

from vsi_esl.ops import logs

pytest_plugins = ["tests.support.fixtures"]


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """The names of tests are the same in every run: bytes, such as masked frames, are not part of them."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True, scope="session")
def _log_to_pytest() -> None:
    """Keep the service's log lines in what pytest captures, not on a stream it has closed."""
    logs.setup("warn", "json")
    logging.getLogger().handlers.clear()
