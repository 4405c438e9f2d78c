"""Which connection takes what takes its time."""

from __future__ import annotations

from vsi_esl.switch.esl.lanes import FILE_LANES, Lanes


class Connection:
    def __init__(self) -> None:
        self.pending = 0
        self.connected = False

    def connect(self) -> None:
        self.connected = True


def test_all_are_connected():
    lanes = Lanes(Connection)
    lanes.connect()
    assert [one.connected for one in lanes] == [True] * (1 + FILE_LANES)


def test_files_take_the_least_busy_one_and_never_that_of_the_channels():
    lanes = Lanes(Connection)
    taken = []
    for _ in range(2 * FILE_LANES):
        lane = lanes.files
        lane.pending += 1
        taken.append(lane)
    assert lanes.channels not in taken
    assert [one.pending for one in lanes] == [0] + [2] * FILE_LANES
