"""The spool: fetched once, kept, repeated, thrown out."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import gevent
import numpy as np
import pytest
from gevent.event import Event
from gevent.pywsgi import WSGIServer

from tests.support.wavfile import chunk, fmt, riff
from vsi_esl.audio import MediaError, wav
from vsi_esl.audio.fetch import Fetcher
from vsi_esl.audio.files import BELIEVED_S
from vsi_esl.audio.spool import MAX_FETCHES, Spool
from vsi_esl.net.guard import AddressGuard


def sound(seconds: float = 1, value: int = 1000, rate: int = 8000) -> bytes:
    samples = np.full(round(seconds * rate), value, dtype=np.int16)
    return riff(fmt(rate=rate), chunk(b"data", samples.tobytes()))


class Origin:
    """A web server with one body for every path; counts the requests."""

    def __init__(self) -> None:
        self.body = sound()
        self.headers: dict[str, str] = {}
        self.asked: list[dict] = []
        self.gate = Event()
        self.gate.set()
        self.server = WSGIServer(("127.0.0.1", 0), self._serve, log=None)
        self.server.start()

    def _serve(self, environ, start_response):
        self.asked.append(environ)
        self.gate.wait(20)
        etag = self.headers.get("ETag")
        if etag and environ.get("HTTP_IF_NONE_MATCH") == etag:
            start_response("304 Not Modified", list(self.headers.items()))
            return []
        start_response("200 OK", [*self.headers.items(), ("Content-Length", str(len(self.body)))])
        return [self.body]

    def url(self, path: str = "/a") -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"


@pytest.fixture
def origin():
    one = Origin()
    yield one
    one.server.stop()


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path / "spool"


def new_spool(place: Path, *, timeout: float = 20, **more) -> Spool:
    return Spool(str(place), Fetcher(AddressGuard(True), timeout=timeout, max_bytes=10_000_000), **more)


def patient(spool: Spool) -> None:
    """What comes now is to come, however busy the machine is."""
    spool.fetcher.timeout = 20


@pytest.fixture
def spool(place) -> Spool:
    return new_spool(place)


def refused(spool: Spool, url: str, mime_type: str = "") -> str:
    with pytest.raises(MediaError) as caught:
        spool.url_clip(url, mime_type, 1)
    return caught.value.message


def files(place: Path) -> list[str]:
    return sorted(os.listdir(place))


# -- clips --


def test_a_clip(spool, origin, place):
    clip = spool.url_clip(origin.url("/../../etc/x.wav"), "", 1)
    assert (clip.duration_ms, clip.total_ms, clip.loop) == (1000, 1000, False)
    assert Path(clip.path).parent == place
    assert wav.read_info(clip.path) == wav.WavInfo(clip.path, 8000, 1, 8000, 44)
    assert stat.S_IMODE(place.stat().st_mode) == 0o2770
    assert stat.S_IMODE(os.stat(clip.path).st_mode) == 0o640
    assert files(place) == [Path(clip.path).name]


@pytest.mark.parametrize(
    ("repeat", "copies", "total_ms", "loop"),
    [
        (0, 1, 1000, False),
        (1, 1, 1000, False),
        (2, 2, 2000, False),
        (60, 60, 60_000, False),
        (61, 60, 61_000, True),
        (10**9, 60, 10**12, True),
        (-1, 60, None, True),
        (-7, 60, None, True),
    ],
)
def test_repetitions(spool, origin, repeat, copies, total_ms, loop):
    origin.body = riff(fmt(), chunk(b"data", np.arange(8000, dtype=np.int16).tobytes()))
    clip = spool.url_clip(origin.url(), "", repeat)
    assert (clip.duration_ms, clip.total_ms, clip.loop) == (copies * 1000, total_ms, loop)
    samples = wav.read_samples(wav.read_info(clip.path))
    assert (samples == np.tile(np.arange(8000, dtype=np.int16), copies)).all()


@pytest.mark.parametrize(
    ("seconds", "repeat", "file_ms", "total_ms", "loop"),
    [(25.5, 3, 76_500, 76_500, True), (700, 2, 700_000, 1_400_000, True), (700, -1, 700_000, None, True)],
)
def test_repetitions_of_long_clips(spool, origin, seconds, repeat, file_ms, total_ms, loop):
    origin.body = riff(fmt(7, bits=8), chunk(b"data", b"\x10" * round(8000 * seconds)))
    clip = spool.url_clip(origin.url(), "", repeat)
    assert (clip.duration_ms, clip.total_ms, clip.loop) == (file_ms, total_ms, loop)


def test_a_clip_of_one_sample(spool, origin):
    origin.body = sound(1 / 8000)
    clip = spool.url_clip(origin.url(), "", -1)
    assert (clip.duration_ms, clip.loop) == (60_000, True)


def test_tones(spool, place):
    clip = spool.tone_clip(" Busy ")
    assert (clip.duration_ms, clip.total_ms, clip.loop) == (60_000, None, True)
    assert spool.tone_clip("us_busy") == clip
    assert len(files(place)) == 1
    before = os.stat(clip.path).st_ino
    assert new_spool(place).tone_clip("busy") == clip
    assert os.stat(clip.path).st_ino == before
    with pytest.raises(MediaError, match=r'^unknown tone "x", available: '):
        spool.tone_clip("x")


# -- errors --


def test_what_is_no_audio(spool, origin, place):
    origin.body = b"<html>"
    assert refused(spool, origin.url()) == "not a valid WAV file"
    assert refused(spool, origin.url(), "audio/mpeg").startswith("mp3 decode: ")
    origin.body = sound(0)
    assert refused(spool, origin.url()) == "audio is empty"
    assert files(place) == []


def test_too_long(place, origin):
    assert refused(new_spool(place, max_seconds=0.5), origin.url()) == "audio longer than 0.5 s"


def test_a_failed_fetch_is_tried_again(spool, origin):
    origin.body = b""
    refused(spool, origin.url())
    origin.body = sound()
    assert spool.url_clip(origin.url(), "", 1).duration_ms == 1000


def test_a_broken_disk(spool, origin, place):
    place.rmdir()
    place.write_text("in the way")
    assert refused(spool, origin.url()) == "spool: Not a directory"
    with pytest.raises(MediaError, match=r"^spool: "):
        spool.tone_clip("busy")
    with pytest.raises(MediaError, match=r"^spool: Not a directory$"):
        new_spool(place / "below")


# -- the cache --


def test_without_validators_it_is_fetched_again_and_not_written_again(spool, origin):
    first = spool.url_clip(origin.url(), "", 1)
    inode = os.stat(first.path).st_ino
    assert spool.url_clip(origin.url(), "", 1) == first
    assert len(origin.asked) == 2
    assert os.stat(first.path).st_ino == inode


def test_the_same_content_elsewhere_is_one_file(spool, origin, place):
    assert spool.url_clip(origin.url("/a"), "", 1) == spool.url_clip(origin.url("/b"), "", 1)
    assert len(files(place)) == 1


def test_the_same_content_read_in_another_way_is_another_file(spool, origin, place):
    assert spool.url_clip(origin.url(), "", 1).duration_ms == 1000
    assert spool.url_clip(origin.url(), "audio/l16;rate=8000", 1).duration_ms == 1002
    assert len(files(place)) == 2


def test_revalidation(spool, origin):
    origin.headers = {"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    first = spool.url_clip(origin.url(), "", 1)
    assert spool.url_clip(origin.url(), "", 1) == first
    assert origin.asked[1]["HTTP_IF_NONE_MATCH"] == '"1"'
    assert origin.asked[1]["HTTP_IF_MODIFIED_SINCE"] == "Mon, 01 Jan 2024 00:00:00 GMT"
    origin.headers, origin.body = {"ETag": '"2"'}, sound(2)
    assert spool.url_clip(origin.url(), "", 1).duration_ms == 2000


def test_fresh_files_are_not_asked_for(spool, origin):
    origin.headers = {"Cache-Control": "max-age=60"}
    first = spool.url_clip(origin.url(), "", 1)
    assert spool.url_clip(origin.url(), "", 1) == first
    assert len(origin.asked) == 1
    os.truncate(first.path, 100)  # as after a loss of power
    assert spool.url_clip(origin.url(), "", 1) == first
    assert wav.intact(first.path)
    os.unlink(first.path)
    assert spool.url_clip(origin.url(), "", 1) == first
    assert len(origin.asked) == 3


def test_a_304_can_make_it_fresh(spool, origin):
    origin.headers = {"ETag": '"1"'}
    spool.url_clip(origin.url(), "", 1)
    origin.headers["Cache-Control"] = "max-age=60"
    spool.url_clip(origin.url(), "", 1)
    spool.url_clip(origin.url(), "", 1)
    assert len(origin.asked) == 2


def test_files_serve_the_next_process(spool, origin, place):
    first = spool.url_clip(origin.url(), "", 3)
    inode = os.stat(first.path).st_ino
    (place / "left.wav.1234.tmp").write_bytes(b"x")
    again = new_spool(place)
    assert not (place / "left.wav.1234.tmp").exists()
    assert again.url_clip(origin.url(), "", 3) == first
    assert os.stat(first.path).st_ino == inode


# -- many at once --


def wait_for(condition, seconds: float = 20) -> None:
    with gevent.Timeout(seconds):
        while not condition():
            gevent.idle()
            gevent.get_hub().wait(gevent.get_hub().loop.timer(0.001))


def test_concurrent_requests_fetch_once(spool, origin):
    origin.gate.clear()
    asking = [gevent.spawn(spool.url_clip, origin.url(), "", 1 + n % 3) for n in range(30)]
    wait_for(lambda: origin.asked)
    asking[0].kill()  # who asked first goes; the others still get their file
    origin.gate.set()
    clips = [one.get(timeout=20) for one in asking[1:]]
    assert {clip.duration_ms for clip in clips} == {1000, 2000, 3000}
    assert len(origin.asked) == 1


def test_concurrent_failures_fail_all(spool, origin):
    origin.body = b"nothing"
    origin.gate.clear()
    asking = [gevent.spawn(refused, spool, origin.url()) for _ in range(5)]
    wait_for(lambda: origin.asked)
    origin.gate.set()
    assert {one.get(timeout=20) for one in asking} == {"not a valid WAV file"}
    assert len(origin.asked) == 1


def test_too_many_fetches(place, origin):
    spool = new_spool(place, timeout=0.3)
    for _ in range(MAX_FETCHES):
        assert spool._fetches.acquire(timeout=1)
    assert refused(spool, origin.url()) == "fetch audio: no complete answer within 0.3 s"
    assert (spool.refused, origin.asked) == (1, [])
    spool._fetches.release()
    patient(spool)
    assert spool.url_clip(origin.url(), "", 1).duration_ms == 1000


def test_slow_servers_give_their_places_back(place, origin):
    spool = new_spool(place, timeout=0.3)
    origin.gate.clear()
    asking = [gevent.spawn(refused, spool, origin.url(f"/{n}")) for n in range(MAX_FETCHES)]
    messages = [one.get(timeout=10) for one in asking]
    assert set(messages) == {"fetch audio: no complete answer within 0.3 s"}
    assert spool.refused == 0  # each had a place of its own
    origin.gate.set()
    patient(spool)
    assert spool.url_clip(origin.url(), "", 1).duration_ms == 1000


def test_the_event_loop_goes_on(spool, origin):
    origin.body = riff(fmt(7, bits=8), chunk(b"data", b"\x10" * 8_000_000))
    longest, stop = 0.0, False

    def watch() -> None:
        nonlocal longest
        while not stop:
            # what the loop's thread worked: that the machine is busy is no fault of ours
            before = time.thread_time()
            gevent.sleep(0.001)
            longest = max(longest, time.thread_time() - before)

    watching = gevent.spawn(watch)
    spool.url_clip(origin.url(), "", -1)
    spool.tone_clip("ru_busy")
    stop = True
    watching.join(timeout=20)
    assert longest < 0.2


# -- room on the disk --


def test_the_oldest_go_first(place, origin):
    spool = new_spool(place, max_bytes=50_000)  # three files of a second
    clips = {}
    for number in range(3):
        origin.body = sound(value=number)
        clips[number] = spool.url_clip(origin.url(f"/{number}"), "", 1)
        os.utime(clips[number].path, (1000 + number, 1000 + number))
    origin.body = sound(value=0)
    spool.url_clip(origin.url("/0"), "", 1)  # used again
    origin.body = sound(value=9)
    new = spool.url_clip(origin.url("/9"), "", 1)
    assert not os.path.exists(clips[1].path)
    assert all(os.path.exists(clip.path) for clip in (clips[0], clips[2], new))
    assert not [name for name in files(place) if name.endswith(".tmp")]


def test_files_in_use_stay(place, origin):
    spool = new_spool(place, max_bytes=1)
    first = spool.url_clip(origin.url(), "", 1)
    spool.hold(first)
    spool.hold(first)
    spool.release(first.path)
    origin.body = sound(value=2)
    second = spool.url_clip(origin.url(), "", 1)
    assert os.path.exists(first.path)
    assert os.path.exists(second.path)
    spool.release(first.path)
    spool.tone_clip("busy")
    assert not os.path.exists(first.path)
    assert not os.path.exists(second.path)


@pytest.mark.parametrize("kind", ["tone", "url"])
def test_what_is_in_use_is_not_looked_at_each_time(spool, origin, monkeypatch, kind):
    origin.headers["Cache-Control"] = "max-age=60"

    def clip():
        return spool.tone_clip("busy") if kind == "tone" else spool.url_clip(origin.url(), "", 1)

    first = clip()
    spool.hold(first)
    clip()
    looked_at = []
    run = spool._jobs.run
    monkeypatch.setattr(spool._jobs, "run", lambda *work: looked_at.append(work) or run(*work))
    assert clip() == first
    assert looked_at == []
    spool.release(first.path)
    os.truncate(first.path, 100)  # as after a loss of power
    assert clip() == first
    assert wav.intact(first.path)
    assert looked_at


def test_what_is_in_use_is_looked_at_now_and_then(spool, monkeypatch):
    clip = spool.tone_clip("busy")
    spool.hold(clip)
    spool.tone_clip("busy")
    os.unlink(clip.path)
    spool.tone_clip("busy")
    assert not os.path.exists(clip.path)
    late = time.monotonic() + BELIEVED_S
    monkeypatch.setattr("vsi_esl.audio.files.time.monotonic", lambda: late)
    assert spool.tone_clip("busy") == clip
    assert os.path.exists(clip.path)


def test_a_clip_is_there_when_it_is_returned_whatever_else_runs(place, origin):
    spool = new_spool(place, max_bytes=1)
    missing = []

    def play(number: int) -> None:
        for turn in range(4):
            clip = spool.url_clip(origin.url(f"/{number % 3}"), f"audio/l16;rate={8000 + number}", turn)
            if not wav.intact(clip.path):
                missing.append(clip)

    playing = [gevent.spawn(play, number) for number in range(12)]
    gevent.joinall(playing, timeout=30, raise_error=True)
    assert all(one.successful() for one in playing)
    assert missing == []
    assert spool._files._pins == {}
