"""What several unit tests need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.fakes import FakeService, without_pauses
from vsi_esl.storage.thread import StorageThread

# how long an input takes is the machine's doing
settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")


@pytest.fixture
def thread() -> Iterator[StorageThread]:
    one = StorageThread()
    yield one
    one.stop(2)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    without_pauses(monkeypatch)
    one = FakeService()
    yield one
    one.close()
