"""Who hears what, and what is in the files: every peer sends a tone of its own, and energy is measured."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.support import listen, sounds
from tests.support.drivers import eventually
from tests.support.hearing import HEARD, hears, in_room
from tests.support.wavfile import chunk, fmt, riff
from tests.support.webserver import WebServer, tone

ALIGNED_MS = 40
"""Between the tracks of one recording, and between a command and its effect in a file."""
CADENCE_MS = 20
FREQUENCY = 0.01
LEAD = 4
"""Frames at the beginning of a recording that may be silent: the switch needs two to three."""
FLUSHED = 3
"""Frames of a leg that a recording or a playback of its own may cost when it begins: the switch then empties
the leg's RTP buffer, which is two packets, and they touch three frames."""
QUIET = 8
"""Root mean square of what is silent: the switch's own silence is -1."""


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


def collect(call, seconds: float) -> np.ndarray:
    """What a peer receives from now on, for so long."""
    call.rtp.kept = []
    wanted = round(seconds * 50)
    eventually(lambda: len(call.rtp.kept) >= wanted, f"{wanted} packets", seconds + 20)
    packets, call.rtp.kept = call.rtp.kept[:wanted], None
    return listen.heard(packets)


def elapse(call, seconds: float) -> None:
    """Let time pass, by the clock of the packets that this peer receives: it is what is recorded."""
    collect(call, seconds)


class When(NamedTuple):
    """A command took effect at some time between these."""

    sent: float
    answered: float


def done(client, command: str, of: str, **more: Any) -> tuple[dict[str, Any], When]:
    """Have a command done to a leg or room: what it answers, and when that was."""
    sent = time.monotonic()
    answer = client.ok(command, id=of, **more)
    return answer, When(sent, time.monotonic())


def off(length_ms: float, first: When, then: When) -> float:
    """By how many ms a length in a recording cannot be what passed between two commands."""
    least, most = 1000 * (then.sent - first.answered), 1000 * (then.answered - first.sent)
    return max(least - length_ms, length_ms - most)


def amplitude(call, frequency: float) -> float:
    """Of a frequency in the next half second."""
    return float(np.median(listen.levels(collect(call, 0.5), 8000, frequency)))


# -- playback --------------------------------------------------------------------------------------------


def test_a_legs_playback_is_heard_by_that_leg_only(client, agent, web):
    first, one = in_room(client, agent, 440)
    second, _ = in_room(client, agent, 700)
    url = web.put("/1500.wav", tone(1500, 20))
    playback = client.ok("leg_play_start", id=one, url=url)["playback_id"]
    hears(first, 1500, True)
    hears(first, 700, True)
    hears(second, 1500, False)
    hears(second, 440, True)
    client.ok("add_leg_to_room", room_id="other", leg_id=one)
    hears(first, 1500, True)
    hears(first, 700, False)
    client.ok("remove_leg_from_room", room_id="other", leg_id=one)
    hears(first, 1500, True)
    client.ok("leg_play_stop", id=one, playback_id=playback)
    hears(first, 1500, False)
    for call in (first, second):
        call.bye()


def test_a_playback_goes_on_where_it_was_when_its_leg_enters_a_room(client, agent, web):
    """The first second of the file is 500 Hz, the second 600 Hz, and so on."""
    steps = np.concatenate(
        [8000 * np.sin(2 * np.pi * (500 + 100 * step) * np.arange(8000) / 8000) for step in range(8)]
    )
    url = web.put("/steps.wav", tone(1, 0.001)[:40] + b"\0\0\0\0" + steps.astype("<i2").tobytes())
    call = agent.call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("leg_play_start", id=leg, url=url)
    client.event("playback.started")
    hears(call, 600, True)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    call.rtp.kept = []
    hears(call, 800, True)
    heard, call.rtp.kept = listen.heard(call.rtp.kept), None
    assert (listen.levels(heard, 8000, 500, 100) > HEARD).sum() <= 1, "it does not begin anew"
    call.bye()


def test_playbacks_to_a_room_find_their_conference(client, agent, web):
    """The conference of a second one is made after the switch has said that its channel is there."""
    call, _ = in_room(client, agent, 440)
    url = web.put("/1500.wav", tone(1500, 20))
    for _ in range(30):
        started = [client.ok("room_play_start", id="r", url=url)["playback_id"] for _ in range(3)]
        for playback in started:
            client.event("playback.started", playback_id=playback)
        for playback in started:
            client.ok("room_play_stop", id="r", playback_id=playback)
            client.event("playback.finished", playback_id=playback)
    assert not [event for event in client.events if event["type"] == "playback.error"]
    call.bye()


def test_a_rooms_playback_is_heard_by_all_whatever_the_routing(client, agent, web):
    first, one = in_room(client, agent, 440)
    second, _ = in_room(client, agent, 700)
    client.ok("set_leg_role", leg_id=one, role="alone")
    client.ok("room_routing_set", room_id="r", matrix={"alone": []})
    hears(first, 700, False)
    url = web.put("/1500.wav", tone(1500, 20))
    other = web.put("/1800.wav", tone(1800, 20))
    for source in (url, other):
        client.ok("room_play_start", id="r", url=source)
        client.event("playback.started")
    for call in (first, second):
        hears(call, 1500, True)
        hears(call, 1800, True)
    hears(first, 700, False)
    for call in (first, second):
        call.bye()


@pytest.mark.parametrize("where", ["leg", "room", "whisper", "room bot"])
def test_volume_in_steps_of_3_db(client, agent, web, where):
    call, leg = in_room(client, agent, 0, room="r")
    if where == "leg":
        client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    scope, owner = ("room", "r") if where.startswith("room") else ("leg", leg)
    url = web.put("/1500.wav", tone(1500, 30, amplitude=1000))
    if where == "room bot":
        client.ok("room_play_start", id="r", tone="us_dial")
        client.event("playback.started")
    playback = client.ok(f"{scope}_play_start", id=owner, url=url, volume=-2)["playback_id"]
    client.event("playback.started", playback_id=playback)
    eventually(lambda: call.rtp.level(1500) > 300, "it is heard")
    for volume in (-2, 0, 3, 6, -4):
        client.ok(f"{scope}_play_volume", id=owner, playback_id=playback, volume=volume)

        def as_loud(wanted: int = 3 * volume) -> bool:
            collect(call, 0.1)
            return abs(20 * np.log10(amplitude(call, 1500) / 1000) - wanted) < 1.0

        # what is on its way is as loud as before
        eventually(as_loud, f"{3 * volume} dB at volume {volume}")
    call.bye()


@pytest.mark.parametrize(
    ("name", "frequencies", "cadence"),
    [
        ("us_busy", (480, 620), (500, 500)),
        ("gb_ringback", (400, 450), (400, 200, 400, 2000)),
        ("fr_congestion", (440,), (250, 250)),
    ],
)
def test_a_tone_as_it_is_heard(client, agent, name, frequencies, cadence):
    call, leg = in_room(client, agent, 0)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    client.ok("leg_play_start", id=leg, tone=name)
    client.event("playback.started")
    samples = collect(call, 2.2 * sum(cadence) / 1000 + 1)
    frame = 5.0
    runs = listen.spans(listen.loudness(samples, 8000, frame) > 1500, frame)[1:-1]
    assert len(runs) >= len(cadence)
    on = [length for value, length in runs if value]
    off = [length for value, length in runs if not value]
    for measured, wanted in ((on, cadence[0::2]), (off, cadence[1::2])):
        for length in measured:
            assert min(abs(length - one) for one in wanted) <= CADENCE_MS, (name, runs)
    start = int(np.argmax(listen.loudness(samples, 8000, frame) > 1500)) * 40 + 400
    loud = samples[start : start + 1600]
    for measured_hz, wanted_hz in zip(
        listen.strongest(loud, 8000, len(frequencies)), frequencies, strict=True
    ):
        assert abs(measured_hz - wanted_hz) / wanted_hz <= FREQUENCY, (name, measured_hz)
    call.bye()


def test_early_media_hears_the_tone(client, agent):
    call = agent.call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("leg_early_media", id=leg)
    client.event("leg.early_media")
    client.ok("leg_play_start", id=leg, tone="de_dial")
    hears(call, 425, True)
    assert "200" not in call.seen
    client.ok("answer_leg", id=leg)
    hears(call, 425, True)
    call.bye()


# -- bridges ---------------------------------------------------------------------------------------------


def test_what_passes_over_a_bridge(client, agent):
    client.ok("create_room", id="a", sample_rate=8000)
    client.ok("create_room", id="b", sample_rate=8000)
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b")
    here, _ = in_room(client, agent, 440, room="a")
    there, _ = in_room(client, agent, 700, room="b")
    for direction, from_a, from_b in (
        ("bidirectional", True, True),
        ("send", True, False),
        ("receive", False, True),
        ("none", False, False),
        ("bidirectional", True, True),
    ):
        client.ok("bridge_update", room_id="a", bridge_id="x", direction=direction)
        hears(there, 440, from_a)
        hears(here, 700, from_b)
    hears(here, 440, False)  # no echo
    client.ok("bridge_delete", room_id="a", bridge_id="x")
    hears(there, 440, False)
    hears(here, 700, False)
    for call in (here, there):
        call.bye()


def test_a_chain_of_rooms_and_a_role_that_hears_nobody(client, agent):
    for name in "abc":
        client.ok("create_room", id=name)
    client.ok("bridge_create", room_id="a", peer_room_id="b")
    client.ok("bridge_create", room_id="b", peer_room_id="c")
    first, one = in_room(client, agent, 440, room="a")
    third, _ = in_room(client, agent, 1020, room="c")
    hears(first, 1020, True)
    hears(third, 440, True)
    # a bridge is not subject to routing
    client.ok("set_leg_role", leg_id=one, role="alone")
    client.ok("room_routing_set", room_id="a", matrix={"alone": []})
    hears(first, 1020, True)
    client.ok("room_play_start", id="a", tone="de_dial")
    hears(third, 425, True)
    client.ok("deaf_leg", id=one)
    hears(first, 1020, False)
    for call in (first, third):
        call.bye()


# -- recording -------------------------------------------------------------------------------------------


def has(samples: np.ndarray, rate: int, frequency: float) -> np.ndarray:
    """In which frames a tone is clearly there."""
    return listen.levels(samples, rate, frequency) > HEARD


def steady(frames: np.ndarray) -> bool:
    """Whether it is there all the time. A busy machine may cost a frame."""
    return int((~frames).sum()) <= 1


def test_a_leg_recording_left_and_right(client, agent, web):
    first, one = in_room(client, agent, 440)
    # the switch itself keeps time, which a peer in this process does not on a busy machine
    client.ok("room_play_start", id="r", url=web.put("/700.wav", tone(700, 30)))
    client.event("speaking.started", leg_id=one)
    hears(first, 700, True)
    client.ok("leg_record_start", id=one)
    client.ok("mute_leg", id=one)
    client.ok("leg_play_start", id=one, url=web.put("/1500.wav", tone(1500, 20)))
    hears(first, 1500, True)
    rate, file = listen.read(client.ok("leg_record_stop", id=one)["file"])
    said, heard = file[:, 0], file[:, 1]
    assert rate == 16000
    left = has(said, rate, 440)[LEAD:-2]
    assert (~left).sum() <= FLUSHED, f"left: what the muted leg says: {listen.spans(left)}"
    assert not has(said, rate, 700).any() and not has(said, rate, 1500).any()
    right = has(heard, rate, 700)
    assert steady(right[LEAD:-2]), f"right: what it hears, all the time: {listen.spans(right)}"
    assert steady(has(heard, rate, 1500)[-10:-2]), "right: what it is played"
    assert not has(heard, rate, 440).any()
    first.bye()


def test_a_pause_is_silence_of_its_length(client, agent):
    call, leg = in_room(client, agent, 440)
    client.event("speaking.started", leg_id=leg)
    _, start = done(client, "leg_record_start", leg)
    elapse(call, 0.6)
    _, pause = done(client, "leg_record_pause", leg)
    elapse(call, 0.7)
    _, resume = done(client, "leg_record_resume", leg)
    elapse(call, 0.6)
    stopped, stop = done(client, "leg_record_stop", leg)
    rate, file = listen.read(stopped["file"])
    frame = 5.0
    runs = listen.runs(listen.loudness(file[:, 0], rate, frame) > QUIET, LEAD * 20, frame)
    assert [loud for loud, _ in runs] == [True, False, True]
    begin = len(file) / rate * 1000 - sum(length for _, length in runs) + runs[0][1]
    assert off(runs[1][1], pause, resume) <= ALIGNED_MS
    assert off(begin, start, pause) <= ALIGNED_MS
    assert off(len(file) / rate * 1000, start, stop) <= 100
    silence = file[round((begin + 20) * rate / 1000) : round((begin + runs[1][1] - 20) * rate / 1000)]
    assert not silence.any(), "to the sample"
    call.bye()


def test_a_rooms_mix(client, agent):
    first, _ = in_room(client, agent, 440)
    second, two = in_room(client, agent, 700)
    hears(first, 700, True)
    hears(second, 440, True)
    client.ok("room_record_start", id="r")
    elapse(first, 0.4)
    _, pause = done(client, "room_record_pause", "r")
    elapse(first, 0.5)
    _, resume = done(client, "room_record_resume", "r")
    client.ok("mute_leg", id=two)
    elapse(first, 0.5)
    rate, file = listen.read(client.ok("room_record_stop", id="r")["file"])
    mix = file[:, 0]
    assert (rate, file.shape[1]) == (16000, 1)
    both = has(mix, rate, 440) & has(mix, rate, 700)
    assert both[5:15].sum() >= 9, listen.spans(both)  # a busy machine may cost a frame
    runs = listen.runs(listen.loudness(mix, rate) > QUIET, 60)
    assert [loud for loud, _ in runs] == [True, False, True]
    assert off(runs[1][1], pause, resume) <= 60
    assert steady(has(mix, rate, 440)[-10:-2]) and not has(mix, rate, 700)[-10:-2].any()
    for call in (first, second):
        call.bye()


def test_tracks_are_aligned(client, agent):
    """Three peers make the same sounds at the same time; one joins late, one leaves early."""
    first, one = in_room(client, agent, 0)
    second, two = in_room(client, agent, 0)
    _, start = done(client, "room_record_start", "r", multi_channel=True)
    third, three = in_room(client, agent, 0)
    calls = (first, second, third)
    elapse(first, 0.4)

    def burst(seconds: float) -> None:
        for call in calls:
            call.rtp.frequency = 1000.0
        elapse(first, seconds)
        for call in calls:
            call.rtp.frequency = 0.0
        elapse(first, 0.3)

    burst(0.3)
    client.ok("room_record_pause", id="r")
    burst(0.3)
    client.ok("room_record_resume", id="r")
    burst(0.3)
    client.ok("remove_leg_from_room", room_id="r", leg_id=two)
    burst(0.3)
    stopped, stop = done(client, "room_record_stop", "r")
    rate, file = listen.read(stopped["multi_channel_file"])
    channels = stopped["channels"]
    assert file.shape[1] == 3
    assert off(len(file) / rate * 1000, start, stop) <= 100
    onsets = {}
    for leg, bursts in ((one, 3), (two, 2), (three, 3)):
        track = file[:, channels[leg]["channel"]]
        on = has(track, rate, 1000)
        onsets[leg] = [index * 20 for index in np.flatnonzero(np.diff(on.astype(int)) == 1)]
        assert len(onsets[leg]) == bursts, (leg, onsets)
        assert not track[: max(0, channels[leg]["start_ms"] * rate // 1000 - 1)].any()
        assert not track[channels[leg]["end_ms"] * rate // 1000 + 1 :].any()
    for others in zip(onsets[one], onsets[three], strict=True):
        assert max(others) - min(others) <= ALIGNED_MS, onsets
    for others in zip(onsets[one], onsets[two], strict=False):
        assert max(others) - min(others) <= ALIGNED_MS, onsets
    assert channels[three]["start_ms"] > 20
    for call in calls:
        call.bye()


# -- faults ----------------------------------------------------------------------------------------------


def test_a_switch_that_is_killed_leaves_what_was_heard(client, agent, switch, service):
    call, leg = in_room(client, agent, 440)
    client.event("speaking.started", leg_id=leg)
    file = client.ok("leg_record_start", id=leg)["file"]
    room_file = client.ok("room_record_start", id="r")["file"]
    elapse(call, 2.0)
    switch.kill9()
    call.rtp.close()
    switch.start()
    for wanted in (file, room_file):
        client.rewind()
        client.event("recording.finished", 30, file=wanted)
    reason = client.event("leg.disconnected", 30, leg_id=leg)["cdr"]["reason"]
    assert reason == "switch_restarted"
    rate, samples = listen.read(file)
    assert len(samples) / rate > 1.7
    assert steady(has(samples[:, 0], rate, 440)[5:])
    rate, samples = listen.read(room_file)
    assert len(samples) / rate > 1.5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, if this user may make one."""
    directory = tmp_path / "recordings"
    directory.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be made here")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_a_full_disk(small_disk, client, agent):
    call, leg = in_room(client, agent, 440)
    file = client.ok("leg_record_start", id=leg)["file"]
    assert os.path.dirname(file) == str(small_disk)
    (small_disk / "ballast").write_bytes(bytes(2_000_000))
    elapse(call, 4.0)
    other_call, other = in_room(client, agent, 700)
    refused = client.error("leg_record_start", id=other)
    assert refused == (500, "create recording file: no space left on device")
    stopped = client.ok("leg_record_stop", id=leg)
    finished = client.event("recording.finished")
    assert finished["file"] == stopped["file"] == file
    assert finished["error"].startswith("recording incomplete: ")
    rate, samples = listen.read(file)
    assert 0 < len(samples) / rate < 3
    (small_disk / "ballast").unlink()
    assert client.ok("leg_record_start", id=other)["status"] == "recording"
    for one in (call, other_call):
        one.bye()


@pytest.mark.parametrize("who", ["us", "peer"])
def test_what_is_said_before_and_after_a_hold_is_where_it_belongs(client, agent, who):
    """440 Hz, then two seconds on hold, then 880 Hz. Held, the switch writes nothing."""
    call, leg = in_room(client, agent, 440)
    _, start = done(client, "leg_record_start", leg)
    began = start.answered
    elapse(call, 1.5)
    if who == "us":
        client.ok("hold_leg", id=leg)
        call.rtp.muted = True  # as a phone does that is put on hold
    else:
        call.hold()
    client.event("leg.hold", leg_id=leg)
    held = time.monotonic() - began
    eventually(lambda: time.monotonic() - began > held + 2, "time passes")
    call.rtp.frequency = 880.0
    call.rtp.muted = False
    unholding = time.monotonic() - began
    if who == "us":
        client.ok("unhold_leg", id=leg)
    else:
        call.unhold()
    client.event("leg.unhold", leg_id=leg)
    unheld = time.monotonic() - began
    elapse(call, 1.5)
    rate, samples = listen.read(client.ok("leg_record_stop", id=leg)["file"])
    said = samples[:, 0]
    first = listen.spans(listen.levels(said, rate, 440) > 300)
    second = listen.spans(listen.levels(said, rate, 880) > 300)
    heard_440 = [length for on, length in first if on]
    # where a tone is cut, its last frame has a little of every frequency
    longest = max((at for at, (on, _) in enumerate(second) if on), key=lambda at: second[at][1])
    begin_880 = sum(length for _, length in second[:longest])
    assert 1150 <= sum(heard_440) <= held * 1000 + 350
    assert unholding * 1000 - 350 <= begin_880 <= (unheld + start.answered - start.sent) * 1000 + 350
    between = listen.loudness(said[round((held + 0.3) * rate) : round((unheld - 0.5) * rate)], rate)
    assert between.max() < QUIET


def beeps(seconds: int) -> bytes:
    """A WAV file, 1500 Hz for a tenth of a second at the beginning of each second."""
    one = sounds.sequence(sounds.tone(1500, 0.1), sounds.silence(0.9))
    return riff(fmt(), chunk(b"data", np.tile(one, seconds).astype("<i2").tobytes()))


@pytest.mark.parametrize("where", ["alone", "in a room"])
def test_a_peer_that_sends_nothing_for_a_second_does_not_shorten_its_recording(client, agent, web, where):
    """What is said, and what is heard, before it and after it are where they belong."""
    call, leg = in_room(client, agent, 0)
    if where == "alone":
        client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
        client.event("leg.left_room", leg_id=leg)
    _, start = done(client, "leg_record_start", leg)
    client.ok("leg_play_start", id=leg, url=web.put("/beeps.wav", beeps(6)))
    client.event("playback.started")
    call.rtp.frequency = 440.0
    first = time.monotonic()
    elapse(call, 0.3)
    call.rtp.muted = True
    elapse(call, 1.2)
    call.rtp.frequency, call.rtp.muted = 880.0, False
    again = time.monotonic()
    elapse(call, 1.0)
    stopped, stop = done(client, "leg_record_stop", leg)
    rate, file = listen.read(stopped["file"])
    said, heard = file[:, 0], file[:, 1]
    begins = [int(np.argmax(has(said, rate, frequency))) * 20 for frequency in (440, 880)]
    played = np.flatnonzero(np.diff(has(heard, rate, 1500).astype(int)) == 1) * 20
    assert off(len(file) / rate * 1000, start, stop) <= 100
    assert abs(begins[1] - begins[0] - 1000 * (again - first)) <= 100, begins
    assert len(played) >= 3 and abs(np.diff(played) - 1000).max() <= ALIGNED_MS, played
    call.bye()
