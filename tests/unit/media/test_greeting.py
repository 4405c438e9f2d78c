"""What answered a call: each way to a verdict, and each side of each threshold."""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import groupby

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vsi_esl.errors import Invalid
from vsi_esl.media import greeting
from vsi_esl.media.greeting import Greeting, Thresholds, Verdict, is_voiced
from vsi_esl.media.tasks import FRAME_BYTES, FRAME_MS
from vsi_esl.model import amd
from vsi_esl.model.amd import AmdParameters

DEFAULTS = AmdParameters()


def thresholds(parameters: AmdParameters = DEFAULTS, **changed: int) -> Thresholds:
    values = asdict(parameters) | changed
    del values["beep_timeout"]
    return Thresholds(**values)


def frames(pattern: str) -> str:
    """`10u 3v` as ten unvoiced and three voiced frames."""
    return "".join(kind * int(count) for count, kind in re.findall(r"(\d+)([uv])", pattern))


def verdict(pattern: str, **changed: int) -> Verdict | None:
    """The verdict on these frames, which is that on the last one of them; None when there is none."""
    analysis, heard = Greeting(thresholds(**changed)), frames(pattern)
    for at, kind in enumerate(heard, 1):
        if (found := analysis.step(kind == "v")) is not None:
            assert at == len(heard), f"{found} after {at} frames"
            return found
    return None


@pytest.mark.parametrize(
    ("pattern", "changed", "expected"),
    [
        # nobody speaks: the frame in which the silence is long enough
        ("125u", {}, Verdict("no_speech", 2500, 0, 2500)),
        ("5u", {"initial_silence_timeout": 100}, Verdict("no_speech", 100, 0, 100)),
        ("6u", {"initial_silence_timeout": 101}, Verdict("no_speech", 120, 0, 120)),
        # one voiced frame is no speech, and counts as silence
        ("50u 1v 74u", {}, Verdict("no_speech", 2500, 0, 2500)),
        ("60u 1v 1u 1v 62u", {}, Verdict("no_speech", 2500, 0, 2500)),
        # a greeting counts from its second frame
        ("21u 76v", {}, Verdict("machine", 440, 1500, 1940)),
        ("76v", {}, Verdict("machine", 20, 1500, 1520)),
        ("77v", {"greeting_duration": 1501}, Verdict("machine", 20, 1520, 1540)),
        # pauses within it are left out, but for their first three frames
        ("39v 3u 34v", {}, Verdict("machine", 20, 1500, 1520)),
        ("39v 4u 35v", {}, Verdict("machine", 20, 1500, 1560)),
        ("39v 38u 35v", {}, Verdict("machine", 20, 1500, 2240)),
        # its first frame is no greeting, however little is asked for
        ("3v", {"greeting_duration": 1}, Verdict("machine", 20, 40, 60)),
        # a greeting, then silence: the silence counts from the frame in which speech is over
        ("10u 20v 43u", {}, Verdict("human", 220, 440, 1460)),
        ("20v 4u", {"after_greeting_silence": 1}, Verdict("human", 20, 440, 480)),
        ("20v 5u", {"after_greeting_silence": 21}, Verdict("human", 20, 440, 500)),
        # several words
        ("10v 30u 10v 43u", {}, Verdict("human", 20, 480, 1860)),
        # a voiced frame within the silence does not stop it, two do
        ("20v 20u 1v 22u", {}, Verdict("human", 20, 440, 1260)),
        ("20v 20u 2v 43u", {"minimum_word_length": 20}, Verdict("human", 20, 520, 1700)),
        # bursts that are too short: with the three frames behind it, two voiced ones are 80 ms
        ("2v 127u", {}, Verdict("no_speech", 2500, 0, 2580)),
        ("3v 43u", {}, Verdict("human", 20, 100, 920)),
        ("3v 127u", {"minimum_word_length": 101}, Verdict("no_speech", 2500, 0, 2600)),
        # beside a word they do not count
        ("20v 20u 2v 43u", {}, Verdict("human", 20, 440, 1700)),
        # noise, and then a greeting
        ("2v 43u 20v 43u", {}, Verdict("human", 840, 440, 2160)),
        # noise, then silence that is long enough when it becomes that from the start: told a frame later
        ("2v 44u", {"initial_silence_timeout": 600}, Verdict("no_speech", 840, 0, 920)),
        # the time is up
        ("120u 130v", {"greeting_duration": 5000}, Verdict("not_sure", 2420, 2560, 5000)),
        ("50u", {"total_analysis_time": 1000}, Verdict("not_sure", 980, 0, 1000)),
        ("51u", {"total_analysis_time": 1001}, Verdict("not_sure", 1000, 0, 1020)),
        # it is looked at first: what the same frame would have brought is not told
        ("125u", {"total_analysis_time": 2500}, Verdict("not_sure", 2480, 0, 2500)),
        ("125u", {"total_analysis_time": 2501}, Verdict("no_speech", 2500, 0, 2500)),
        ("76v", {"total_analysis_time": 1520}, Verdict("not_sure", 20, 1480, 1520)),
        ("76v", {"total_analysis_time": 1521}, Verdict("machine", 20, 1500, 1520)),
        ("20v 43u", {"total_analysis_time": 1260}, Verdict("not_sure", 20, 440, 1260)),
        ("20v 43u", {"total_analysis_time": 1261}, Verdict("human", 20, 440, 1260)),
        # no verdict yet
        ("124u", {}, None),
        ("75v", {}, None),
        ("20v 42u", {}, None),
    ],
)
def test_verdicts(pattern, changed, expected):
    assert verdict(pattern, **changed) == expected


@pytest.mark.parametrize(
    ("pattern", "broken_off", "out_of_time"),
    [
        ("", ("not_sure", 0, 0, 0), ("no_speech", 0, 0, 0)),
        ("40u 1v", ("not_sure", 820, 0, 820), ("no_speech", 820, 0, 820)),
        ("40u 2v", ("not_sure", 820, 20, 840), ("not_sure", 820, 20, 840)),
        ("20v 20u", ("not_sure", 20, 440, 800), ("not_sure", 20, 440, 800)),
        # noise is no speech
        ("2v 43u", ("not_sure", 820, 0, 900), ("no_speech", 820, 0, 900)),
    ],
)
def test_audio_that_ends_and_audio_that_does_not_come(pattern, broken_off, out_of_time):
    analysis = Greeting(thresholds())
    assert [analysis.step(kind == "v") for kind in frames(pattern)] == [None] * len(frames(pattern))
    assert analysis.broken_off() == Verdict(*broken_off)
    assert analysis.out_of_time() == Verdict(*out_of_time)


@pytest.mark.parametrize(
    ("samples", "voiced"),
    [
        ([299] * 320, False),
        ([300] * 320, True),
        ([-300] * 320, True),
        ([300] * 319 + [299], False),
        ([0] * 319 + [5367], True),  # 300 * sqrt(320) is 5366.6
        ([0] * 319 + [5366], False),
        ([-32768] * 320, True),
        ([0] * 320, False),
        ([], False),
    ],
)
def test_a_frame_is_voiced_from_rms_300_on(samples, voiced):
    assert is_voiced(np.array(samples, "<i2").tobytes()) is voiced


def test_audio_is_judged_by_its_frames():
    analysis = Greeting(thresholds())
    tone = (8000 * np.sin(np.arange(320) * 2 * np.pi * 440 / 16000)).astype("<i2").tobytes()
    silence = bytes(FRAME_BYTES)
    found = [analysis.hear(one) for one in [silence] * 10 + [tone] * 20 + [silence] * 43]
    assert found == [None] * 72 + [Verdict("human", 220, 440, 1460)]


def test_what_is_checked_and_what_is_done_go_by_the_same_frames():
    assert (amd.FRAME_MS, amd.SPEECH_ON_FRAMES, amd.SPEECH_OFF_FRAMES) == (
        FRAME_MS,
        greeting.SPEECH_ON_FRAMES,
        greeting.SPEECH_OFF_FRAMES,
    )


# -- against a model that looks at everything at once --------------------------------------------------------


def model(heard: str, wanted: Thresholds) -> Verdict | None:
    """The verdict by what the frames are as a whole: bursts of speech, and the silences between them."""
    speaks = speaking(heard)
    last = -(-wanted.total_analysis_time // FRAME_MS)
    for at in range(1, min(len(heard), last - 1) + 1):
        result, silence, spoken = standing(speaks[:at], wanted)
        if result:
            return Verdict(result, silence, spoken, at * FRAME_MS)
    if len(heard) < last:
        return None
    _, silence, spoken = standing(speaks[: last - 1], wanted)
    return Verdict("not_sure", silence, spoken, last * FRAME_MS)


def speaking(heard: str) -> str:
    """`s` for each frame in which somebody speaks, from the second of two voiced ones to the third of four
    unvoiced ones, and `-` for all others."""
    found = ["-"] * len(heard)
    at = 0
    while begin := re.compile("vv").search(heard, at):
        first = begin.start() + 1
        over = re.compile("uuuu").search(heard, first)
        end = over.end() - 1 if over else len(heard)
        found[first:end] = "s" * (end - first)
        at = end
    return "".join(found)


def standing(speaks: str, wanted: Thresholds) -> tuple[str, int, int]:
    """What is known behind these frames: a verdict or "", the initial silence, and the speech."""
    runs = [(kind, sum(FRAME_MS for _ in run)) for kind, run in groupby(speaks)]
    silence = spoken = 0
    greeted = False
    for number, (kind, length) in enumerate(runs):
        latest = number == len(runs) - 1
        if kind == "s":
            if latest:
                enough = spoken + length >= wanted.greeting_duration and (greeted or length > FRAME_MS)
                return ("machine" if enough else ""), silence, spoken + length
            greeted = True
            if length >= wanted.minimum_word_length:
                spoken += length
        elif not greeted:
            silence += length
        elif not spoken and length >= wanted.after_greeting_silence:
            # noise only: all of it was silence from the start, which is seen to be too long a frame later
            silence, greeted = silence + length, False
            if latest and length - FRAME_MS < wanted.after_greeting_silence:
                return "", silence, 0
        elif latest and length >= wanted.after_greeting_silence:
            return "human", silence, spoken
    if runs and runs[-1][0] == "-" and not greeted and silence >= wanted.initial_silence_timeout:
        return "no_speech", silence, 0
    return "", silence, spoken


milliseconds = st.integers(1, 400)
parameters = st.builds(
    Thresholds,
    initial_silence_timeout=milliseconds,
    greeting_duration=milliseconds,
    after_greeting_silence=milliseconds,
    total_analysis_time=st.integers(1, 900),
    minimum_word_length=st.integers(1, 200),
)
pieces = st.lists(st.tuples(st.sampled_from("uv"), st.integers(1, 12)), max_size=12)


@settings(max_examples=600, deadline=None)
@given(wanted=parameters, pieces=pieces)
def test_the_analysis_agrees_with_the_model(wanted, pieces):
    heard = "".join(kind * count for kind, count in pieces)
    analysis = Greeting(wanted)
    found = next((one for kind in heard if (one := analysis.step(kind == "v")) is not None), None)
    assert found == model(heard, wanted)


@settings(max_examples=200, deadline=None)
@given(wanted=parameters)
@example(
    # the second frame of speech would be the first that counts, and the analysis has ended by then
    wanted=Thresholds(
        initial_silence_timeout=41,
        greeting_duration=1,
        after_greeting_silence=1,
        total_analysis_time=41,
        minimum_word_length=1,
    )
)
def test_thresholds_are_accepted_when_some_call_can_have_a_verdict(wanted):
    """The three calls that come to a verdict first of all: silence, speech, and the shortest greeting."""
    shortest = max(2, -(-wanted.minimum_word_length // FRAME_MS) - 2)
    calls = ["u" * 100, "v" * 100, "v" * shortest + "u" * 100]
    reached = False
    for heard in calls:
        analysis = Greeting(wanted)
        found = next((one for kind in heard if (one := analysis.step(kind == "v")) is not None), None)
        reached = reached or (found is not None and found.result != "not_sure")
    try:
        AmdParameters.of(asdict(wanted))
    except Invalid:
        assert not reached
    else:
        assert reached
