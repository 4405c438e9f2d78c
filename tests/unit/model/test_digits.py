"""Digits that come in more than one way."""

from __future__ import annotations

import pytest

from vsi_esl.model.digits import MAX_REMEMBERED, WINDOW_S, Presses


def counted(*came: tuple[float, str, str]) -> str:
    """The digits that count of those that came: when, how, which."""
    presses = Presses()
    return "".join(digit for at, way, digit in came if presses.is_new(digit, way, at))


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ([(0, "RTP", "5"), (0.1, "ENDPOINT", "5")], "5"),
        ([(0, "ENDPOINT", "5"), (0.1, "RTP", "5"), (0.2, "INBAND_AUDIO", "5")], "5"),
        ([(0, "RTP", "5"), (0.3, "RTP", "5")], "55"),
        ([(0, "RTP", "5"), (0.2, "RTP", "5"), (0.3, "ENDPOINT", "5"), (0.5, "ENDPOINT", "5")], "55"),
        ([(0, "RTP", "1"), (0.2, "RTP", "2"), (0.3, "ENDPOINT", "1"), (0.5, "ENDPOINT", "2")], "12"),
        ([(0, "RTP", "5"), (0.1, "ENDPOINT", "6")], "56"),
        # one of two ways lost a digit
        ([(0, "RTP", "5"), (0.4, "RTP", "5"), (0.5, "ENDPOINT", "5")], "55"),
        ([(0, "RTP", "5"), (WINDOW_S + 0.1, "ENDPOINT", "5")], "55"),
        ([(0, "RTP", "5"), (0.1, "APP", "5"), (0.1, "APP", "5")], "555"),
    ],
)
def test_a_press_counts_once(came, expected):
    assert counted(*came) == expected


def test_what_is_remembered_is_bounded():
    presses = Presses()
    assert all(presses.is_new("1", "RTP", 0.0) for _ in range(10 * MAX_REMEMBERED))
    assert sum(not presses.is_new("1", "ENDPOINT", 0.0) for _ in range(10 * MAX_REMEMBERED)) == MAX_REMEMBERED
