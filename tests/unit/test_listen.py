"""What the tests hear with."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import listen


@pytest.mark.parametrize(
    ("frames", "heard"),
    [
        ("111100000111", [(True, 80), (False, 100), (True, 60)]),
        ("1111011100000111", [(True, 160), (False, 100), (True, 60)]),  # a frame was lost
        ("11110000100001111", [(True, 80), (False, 180), (True, 80)]),
        ("0111100000", [(True, 100), (False, 100)]),
        ("110111011110000010", [(True, 220), (False, 140)]),
        ("1", [(True, 20)]),
        ("", []),
    ],
)
def test_a_short_run_is_no_interruption(frames, heard):
    on = np.array([one == "1" for one in frames], dtype=bool)
    assert listen.runs(on, 40, 20) == heard
