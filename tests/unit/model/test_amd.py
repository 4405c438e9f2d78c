"""Which thresholds of answering machine detection are accepted."""

import pytest

from vsi_esl.errors import Invalid
from vsi_esl.model.amd import AmdParameters

NO_VERDICT = "total_analysis_time is too short to reach any verdict; every call would end not_sure"


def test_zero_is_the_default_of_each():
    zeros = dict.fromkeys(
        "initial_silence_timeout greeting_duration after_greeting_silence total_analysis_time "
        "minimum_word_length beep_timeout".split(),
        0,
    )
    assert AmdParameters.of(zeros) == AmdParameters()
    assert AmdParameters.of({"greeting_duration": 700}).greeting_duration == 700


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("initial_silence_timeout", "must be positive"),
        ("minimum_word_length", "must be positive"),
        ("beep_timeout", "must not be negative"),
    ],
)
def test_negative_ones_are_refused_by_name(name, words):
    with pytest.raises(Invalid, match=f"^invalid AMD params: {name} {words}$"):
        AmdParameters.of({name: -1})


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        # one verdict that can be reached is enough, each by itself
        ({"total_analysis_time": 920}, False),
        ({"total_analysis_time": 921}, True),
        ({"total_analysis_time": 900, "initial_silence_timeout": 880}, True),
        ({"total_analysis_time": 900, "initial_silence_timeout": 881}, False),
        ({"total_analysis_time": 900, "greeting_duration": 860}, True),
        ({"total_analysis_time": 900, "greeting_duration": 861}, False),
        # a burst is no shorter than the silence that ends it
        ({"total_analysis_time": 120, "after_greeting_silence": 20, "minimum_word_length": 1}, False),
        ({"total_analysis_time": 121, "after_greeting_silence": 20, "minimum_word_length": 1}, True),
    ],
)
def test_some_verdict_must_be_within_reach(wanted, fits):
    if fits:
        AmdParameters.of(wanted)
    else:
        with pytest.raises(Invalid, match=NO_VERDICT):
            AmdParameters.of(wanted)
