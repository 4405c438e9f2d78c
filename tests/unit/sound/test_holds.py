"""Where the sound of a file belongs when the leg was on hold while it was written."""

from __future__ import annotations

import pytest

from vsi_esl.sound.host.timeline import aligned, stretches
from vsi_esl.sound.recording.holds import note


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], [(0, 0, None)]),
        ([[1000, 3000]], [(0, 0, 1000), (3000, 1000, None)]),
        ([[0, 500]], [(500, 0, None)]),
        ([[1000, -1]], [(0, 0, 1000)]),
        ([[0, -1]], []),
        ([[1000, 2000], [2500, 4000]], [(0, 0, 1000), (2000, 1000, 500), (4000, 1500, None)]),
        ([[1000, 1000]], [(0, 0, 1000), (1000, 1000, None)]),
    ],
)
def test_a_file_from_the_start(held, expected):
    assert stretches(0, 0, None, held) == expected


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([[100, 900]], [(1060, 60, 1940)]),
        ([[900, 1200]], [(1200, 60, 1800)]),
        ([[2000, 2500]], [(1060, 60, 940), (2500, 1000, 500)]),
        ([[2000, 3500]], [(1060, 60, 940)]),
        ([[3000, 4000]], [(1060, 60, 1940)]),
        ([[900, -1]], []),
    ],
)
def test_a_file_from_its_start_to_its_end(held, expected):
    assert stretches(1060, 60, 3000, held) == expected


def test_a_hold_is_noted_once():
    held: list[list[int]] = []
    for on, at in ((False, 5), (True, 10), (True, 20), (False, 30), (False, 40), (True, 50)):
        note(held, on, at)
    assert held == [[10, 30], [50, -1]]


@pytest.mark.parametrize(
    ("held", "written", "expected"),
    [
        # as much as expected
        ([[1000, 3000]], 2000, [(0, 0, 1000), (3000, 1000, None)]),
        # 300 ms too much after the hold are left out
        ([[1000, 3000]], 2300, [(0, 0, 1000), (3000, 1300, None)]),
        # 200 ms too little: what there is ends where the recording does
        ([[1000, 3000]], 1800, [(0, 0, 1000), (3200, 1000, None)]),
        # shared by two holds
        ([[500, 1000], [2000, 3000]], 2300, [(0, 0, 500), (1100, 500, 900), (3100, 1400, None)]),
        ([[500, 1000], [2000, 3000]], 2700, [(0, 0, 500), (1000, 600, 1000), (3000, 1700, None)]),
        # held again almost at once: nothing before the beginning of the file is asked for
        ([[10, 1000], [1010, 3000]], 900, [(0, 0, 10), (1060, 10, 0), (3060, 0, None)]),
        # held when it began
        ([[0, 3000]], 1200, [(3000, 200, None)]),
        # a full disk, or an end of the hold that nobody saw
        ([[1000, 3000]], 500, [(0, 0, 1000), (3000, 1000, None)]),
        ([[1000, 3000]], 3500, [(0, 0, 1000), (3000, 1000, None)]),
        ([], 3500, [(0, 0, None)]),
        ([[0, -1]], 0, []),
    ],
)
def test_what_the_switch_wrote_too_much_or_too_little(held, written, expected):
    assert aligned(stretches(0, 0, None, held), 0, 0, 4000, written) == expected
