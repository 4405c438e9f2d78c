"""Log lines are written behind: whoever reads them, or does not, holds up nobody."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import gevent
import pytest
from structlog.testing import capture_logs

from tests.support.drivers import eventually
from vsi_esl.ops.logwriter import Behind

DEADLINE_S = 20.0


class Pipe:
    """A pipe, read when a test wants it to be."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self.stream = os.fdopen(self._writer, "w", encoding="utf-8")

    def read_until(self, end: bytes) -> bytes:
        data = b""
        while end not in data:
            data += os.read(self.reader, 1 << 16)
        return data

    def close(self) -> None:
        self.stream.close()
        os.close(self.reader)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = Pipe()
    yield one
    one.close()


def test_lines_that_nobody_reads_do_not_hold_up(pipe):
    behind = Behind(pipe.stream)
    lines = [json.dumps({"number": number, "filling": "x" * 1000}) for number in range(2000)]
    for line in lines:
        behind.write(f"{line}\n")  # ten times what a pipe holds
    behind.write("end\n")
    assert pipe.read_until(b"end\n").decode().splitlines() == [*lines, "end"]
    assert behind.lost == 0
    behind.close(DEADLINE_S)


def test_what_is_too_much_is_lost_and_told(pipe):
    behind = Behind(pipe.stream, max_waiting=200_000)
    for _ in range(1000):
        behind.write("x" * 999 + "\n")
    assert 600 < behind.lost < 900  # of the others a part is in the pipe
    with capture_logs() as told:
        while behind.write("again\n") == 0:
            os.read(pipe.reader, 1 << 16)
            gevent.sleep(0.001)
    assert [(line["event"], line["count"]) for line in told] == [("log lines were lost", behind.lost)]
    assert pipe.read_until(b"again\n").endswith(b"again\n")
    behind.close(DEADLINE_S)


def test_the_end_waits_until_all_is_written(pipe):
    behind = Behind(pipe.stream)
    for number in range(100):
        behind.write(f"{number}\n")
    behind.close(DEADLINE_S)
    behind.close(DEADLINE_S)
    pipe.stream.close()
    assert os.read(pipe.reader, 1 << 16).split() == [str(number).encode() for number in range(100)]


def test_the_end_does_not_wait_for_ever(pipe):
    behind = Behind(pipe.stream)
    behind.write("x" * (1 << 20))
    behind.close(0.01)
    pipe.read_until(b"x" * 1024)


def test_a_reader_that_is_gone_is_counted():
    pipe = Pipe()
    behind = Behind(pipe.stream)
    os.close(pipe.reader)  # gevent does so in a moment
    eventually(lambda: behind.write("x\n") > 0 and behind.lost > 0, "it is counted", DEADLINE_S)
    before = behind.lost
    behind.write("half a character: \ud83d\n")
    behind.close(DEADLINE_S)
    assert behind.lost > before
    pipe.stream.close()


def test_a_descriptor_that_does_not_block_is_tried_again(pipe):
    os.set_blocking(pipe.stream.fileno(), False)
    behind = Behind(pipe.stream)
    text = "".join(f"{number:09d}\n" for number in range(30_000))
    behind.write(text)
    behind.write("end\n")
    assert pipe.read_until(b"end\n").decode() == f"{text}end\n"
    behind.close(DEADLINE_S)
