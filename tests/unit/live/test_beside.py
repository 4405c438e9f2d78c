"""Media workers beside a switch on another machine: both ends, without a line between them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vsi_esl.companion import workers as companion_workers
from vsi_esl.companion.workers import Workers
from vsi_esl.live.beside import GONE, SAID, START, WORKERS, Beside
from vsi_esl.media import messages
from vsi_esl.media.messages import Close, Closed, Open, Pong, Report
from vsi_esl.speech.tts.settings import TtsSettings
from vsi_esl.wire.server import Peer


class FakeLine:
    """A line that is connected until `cut`; what is told goes to `far`."""

    def __init__(self) -> None:
        self.welcome = {WORKERS: 2}
        self.connected = True
        self.told, self.lost = [], []
        self.far = lambda message: None

    def tell(self, message):
        if self.connected:
            self.far(message)

    def says(self, message):
        for told in self.told:
            told(message)

    def cut(self):
        self.connected = False
        for lost in self.lost:
            lost()


class FakeWorker:
    """In the place of a process."""

    made: list[FakeWorker]

    def __init__(self, heard, gone, *, log_level):
        self._heard, self._gone = heard, gone
        self.log_level = log_level
        self.pid = 7
        self.got, self.stopped = [], False
        type(self).made.append(self)

    def send(self, message):
        self.got.append(message)

    def says(self, message):
        self._heard(self, message)

    def dies(self):
        self._gone(self, "it has ended")

    def stop(self):
        self.stopped = True


@pytest.fixture
def ends(monkeypatch):
    """A service's pool, its line, and the companion's workers."""
    FakeWorker.made = []
    monkeypatch.setattr(companion_workers, "Answering", FakeWorker)
    line = FakeLine()
    there = Workers(2, TtsSettings(cache_enabled=True, cache_dir="/there"))
    peer = Peer("s", "127.0.0.1")
    peer.connection = SimpleNamespace(send=line.says)
    line.far = lambda message: there.told(peer, message)
    line.lost.append(lambda: there.left(peer))
    heard, lost = [], []
    node = SimpleNamespace(host=SimpleNamespace(companion=line))
    pool = Beside(node, "warn").pool(lambda worker, message: heard.append(message), lost.append)
    return SimpleNamespace(pool=pool, line=line, there=there, peer=peer, heard=heard, lost=lost)


def test_what_is_said_goes_to_the_worker_and_back(ends):
    worker = ends.pool.take("one")
    (process,) = FakeWorker.made
    assert process.log_level == "warn" and not worker.ready
    worker.send(Open(session="one", task="echo"))
    worker.send(Close(session="one"))
    assert [one.kind for one in process.got] == ["open", "close"]
    process.says(Pong(number=1, sessions=1, figures={"late_frames": 3}))
    assert worker.ready and ends.pool.figures() == {"late_frames": 3}
    process.says(Report(session="one", what="text", data={"text": "a"}))
    process.says(Closed(session="one", reason="done"))
    assert [one.kind for one in ends.heard] == ["report", "closed"]
    ends.pool.stop()
    assert process.stopped or ends.there._of[ends.peer] == {}


def test_a_connection_of_this_machine_is_not_handed_over(ends):
    with pytest.raises(OSError, match="not supported"):
        ends.pool.take("one").hand_over("one", 0, b"")


def test_where_speech_is_kept_is_the_companions_to_say(ends):
    worker = ends.pool.take("one")
    worker.send(Open(session="one", task="tts", parameters={"cache": {"directory": "/etc"}}))
    assert FakeWorker.made[0].got[0].parameters["cache"]["directory"] == "/there"


def test_one_that_dies_is_replaced(ends):
    worker = ends.pool.take("one")
    FakeWorker.made[0].says(Pong(number=1, sessions=1, figures={"late_frames": 1}))
    FakeWorker.made[0].dies()
    assert ends.lost == [worker] and ends.pool.restarts == 1
    assert len(FakeWorker.made) == 2 and ends.pool.figures() == {"late_frames": 1}


def test_no_more_than_the_companion_allows(ends):
    for number in range(3):
        ends.there.told(ends.peer, {"kind": START, "number": number})
    assert len(FakeWorker.made) == 2
    ends.there.told(ends.peer, {"kind": START, "number": 1})
    assert len(FakeWorker.made) == 2, "there is one of this number"


def test_a_line_that_is_cut_is_the_end_of_its_workers_and_the_next_begins_anew(ends):
    worker = ends.pool.take("one")
    FakeWorker.made[0].says(Pong(number=1, sessions=1, figures={"late_frames": 1}))
    ends.line.cut()
    assert ends.lost == [worker] and not ends.pool.workers and ends.pool.restarts == 0
    assert not ends.there._of
    ends.line.connected = True
    assert ends.pool.take("two") is not worker
    assert len(FakeWorker.made) == 2
    # what the old one says is nobody's
    ends.line.says(
        {"kind": SAID, "number": 1, "message": messages.plain(Closed(session="one", reason="done"))}
    )
    ends.line.says({"kind": GONE, "number": 1, "why": "late"})
    assert not ends.heard and len(ends.pool.workers) == 1


def test_what_is_said_of_no_worker_is_nothing(ends):
    for message in ({"kind": "worker.say", "number": 9, "message": {}}, {"kind": "else"}):
        ends.there.told(ends.peer, message)
    assert FakeWorker.made == []
