"""Speech that was synthesised before, as files."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from vsi_esl.media.spoken import MIME, STALE_S, UNFINISHED, Spoken, Writing, name_of

ASKED = {
    "provider": "aws",
    "voice": "Joanna",
    "model": "neural",
    "language": "en-US",
    "prompt": "",
    "text": "Hello",
    "api_key": "k",
}


def written(spoken: Spoken, name: str, pcm: bytes) -> None:
    writing = Writing(spoken)
    writing.write(pcm[:10])
    writing.write(pcm[10:])
    writing.finish(name)
    writing.drop()


def heard(spoken: Spoken, name: str) -> bytes | None:
    file = spoken.open(name)
    if file is None:
        return None
    with file:
        return file.read()


def name(number: int) -> str:
    return name_of({"text": str(number)}, False)


def test_the_name_is_the_references():
    key = b"aws\0Joanna\0neural\0en-US\0\0Hello"
    assert name_of(ASKED, False) == hashlib.sha256(key).hexdigest()
    assert name_of(ASKED, True) == hashlib.sha256(key + b"\0k").hexdigest()
    assert name_of({**ASKED, "model": None}, False) == name_of({**ASKED, "model": ""}, False)


def test_a_file_is_a_line_and_the_audio(tmp_path):
    spoken = Spoken(str(tmp_path / "new" / "cache"), 1 << 20)
    assert heard(spoken, name(1)) is None
    written(spoken, name(1), b"\1\2" * 500)
    (file,) = (tmp_path / "new" / "cache").iterdir()
    assert file.name == name(1)
    assert file.read_bytes() == b"audio/pcm;rate=16000\n" + b"\1\2" * 500
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    assert heard(spoken, name(1)) == b"\1\2" * 500


@pytest.mark.parametrize("body", [b"", b"audio/mpeg\nxx", b"no line", MIME[:-1]])
def test_another_file_is_none(tmp_path, body):
    (tmp_path / name(1)).write_bytes(body)
    assert Spoken(str(tmp_path), 1 << 20).open(name(1)) is None


def test_nothing_is_there_before_all_of_it_is(tmp_path):
    spoken = Spoken(str(tmp_path), 1 << 20)
    writing = Writing(spoken)
    writing.write(b"ab")
    assert heard(spoken, name(1)) is None
    writing.drop()
    writing.write(b"too late")
    writing.finish(name(1))
    assert not list(tmp_path.iterdir())


def test_the_one_not_used_for_the_longest_goes(tmp_path):
    spoken = Spoken(str(tmp_path), 3 * 1000 + 3 * len(MIME))
    mine = tmp_path / "notes.txt"
    mine.write_bytes(bytes(5000))
    for number in range(3):
        written(spoken, name(number), bytes(1000))
        os.utime(tmp_path / name(number), (1000 + number, 1000 + number))
    assert heard(spoken, name(0)) is not None  # used now
    written(spoken, name(3), bytes(1000))
    assert [heard(spoken, name(number)) is not None for number in range(4)] == [True, False, True, True]
    assert mine.exists()


def test_one_that_is_larger_than_all_may_be_is_not_kept(tmp_path):
    spoken = Spoken(str(tmp_path), 1000)
    written(spoken, name(1), bytes(500))
    written(spoken, name(2), bytes(1000))
    assert [one.name for one in tmp_path.iterdir()] == [name(1)]


def test_what_a_dead_worker_left_goes_in_time(tmp_path):
    spoken = Spoken(str(tmp_path), 1 << 20)
    for which, age in (("old", STALE_S + 10), ("new", 10)):
        (tmp_path / f"{UNFINISHED}{which}").write_bytes(b"x")
        os.utime(tmp_path / f"{UNFINISHED}{which}", (time.time() - age, time.time() - age))
    written(spoken, name(1), bytes(10))
    assert {one.name for one in tmp_path.iterdir()} == {name(1), f"{UNFINISHED}new"}
