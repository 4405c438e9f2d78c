"""What several unit tests need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vsi_esl.storage.thread import StorageThread


@pytest.fixture
def thread() -> Iterator[StorageThread]:
    one = StorageThread()
    yield one
    one.stop(2)
