"""The helpers of the tests, where they could do harm."""

from __future__ import annotations

import pytest

from tests.freeswitch import conftest
from tests.support.freeswitch import free_port


class NoSwitch:
    """Nothing listens there."""

    password = "-"

    def __init__(self) -> None:
        self.esl_port = free_port()


def test_a_service_that_does_not_start_is_not_left_behind(tmp_path, monkeypatch):
    started = []
    popen = conftest.subprocess.Popen
    monkeypatch.setattr(
        conftest.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    monkeypatch.setattr(conftest, "START_TIMEOUT_S", 0.1)
    service = conftest.ServiceProcess(NoSwitch(), tmp_path)
    with pytest.raises(AssertionError):
        service.start()
    assert [one.poll() is not None for one in started] == [True]
    service.end()  # and there is nothing to end
