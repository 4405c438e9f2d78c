"""Shared test set-up."""

import logging
import os
import shutil

import pytest

from vsi_esl.ops import logs

pytest_plugins = [
    "tests.support.fixtures",
    "tests.support.redisserver",
    "tests.support.saying",
    "tests.support.clustered",
    "tests.support.services",
]


MEMORY = "/dev/shm"
"""A file system in memory, as Linux has it."""
ROOM = 4 << 30


def pytest_configure() -> None:
    """Have the tests' files in memory, where there is room. A service has three databases, and a disk takes
    30 ms to make each: with a thousand services that is more than many tests together."""
    if not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return  # some tests make programs
    if shutil.disk_usage(MEMORY).free >= ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """The names of tests are the same in every run: bytes, such as masked frames, are not part of them."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True, scope="session")
def _log_to_pytest() -> None:
    """Keep the service's log lines in what pytest captures, not on a stream it has closed."""
    logs.setup("warn", "json")
    logging.getLogger().handlers.clear()
