"""A picture of the switch: what is asked, and what is made of the answers."""

from __future__ import annotations

import json

import pytest

from tests.support.fakes import FakeSwitch, channel
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.switch import snapshot
from vsi_esl.switch.snapshot import DUMPS_AT_ONCE, LIST_CONFERENCES, SHOW_CHANNELS, Membership, take_snapshot


@pytest.fixture
def switch() -> FakeSwitch:
    return FakeSwitch()


def test_legs_and_where_they_are(switch):
    switch.channels = {"a": channel("a"), "b": channel("b")}
    switch.members = {"a": ("vsi-1", "7"), "stranger": ("3000", "8")}
    picture = take_snapshot(switch)
    assert list(picture.channels) == ["a", "b"]
    assert picture.memberships["a"] == Membership("vsi-1", 16000, "7", True, True)
    assert picture.conferences == {"vsi-1", "3000"}


def test_an_empty_switch(switch):
    """It has no `rows` then, and says the conferences in words."""
    switch.answers(SHOW_CHANNELS, '{"row_count":0}')
    assert take_snapshot(switch) == snapshot.Snapshot({}, {})
    assert switch.told == [SHOW_CHANNELS, LIST_CONFERENCES]


def test_many_channels_are_asked_for_in_batches(switch):
    count = 2 * DUMPS_AT_ONCE + 1
    switch.channels = {f"leg{number}": channel(f"leg{number}") for number in range(count)}
    assert len(take_snapshot(switch).channels) == count
    assert switch.batches == [2, DUMPS_AT_ONCE, DUMPS_AT_ONCE, 1]


def test_a_channel_is_asked_for_once(switch):
    switch.channels = {"a": channel("a")}
    take_snapshot(switch, ["a", "a"])
    assert switch.heard("uuid_dump") == ["uuid_dump a json"]


def test_a_known_channel_that_the_list_lacks_is_found(switch):
    """The list is behind."""
    switch.channels = {"new": channel("new")}
    switch.answers(SHOW_CHANNELS, '{"row_count":0}')
    assert list(take_snapshot(switch, ["new", "gone"]).channels) == ["new"]


def test_rows_of_channels_that_are_gone_mean_nothing(switch):
    switch.channels = {"a": channel("a")}
    switch.rows = [{"uuid": "gone"}]
    assert list(take_snapshot(switch).channels) == ["a"]


@pytest.mark.parametrize(
    "row",
    [
        None,
        5,
        "text",
        [],
        {},
        {"uuid": None},
        {"uuid": ""},
        {"uuid": "a b"},
        {"uuid": "x;y"},
        {"uuid": ["a"]},
    ],
)
def test_rows_that_are_none(switch, row):
    switch.channels = {"a": channel("a")}
    switch.rows = [row]
    assert list(take_snapshot(switch).channels) == ["a"]
    assert all(len(line.split()) == 3 for line in switch.heard("uuid_dump"))


@pytest.mark.parametrize("answer", ["", "-ERR", "[]", "5", '{"rows":', '{"rows": 5}', '{"rows": null}'])
def test_a_list_of_channels_that_cannot_be_read_is_not_an_empty_one(switch, answer):
    """All calls would seem to have ended."""
    switch.answers(SHOW_CHANNELS, answer)
    with pytest.raises(SwitchUnavailable):
        take_snapshot(switch)


@pytest.mark.parametrize("answer", ["[", "[5", '[{"conference_name": "x"'])
def test_a_list_of_conferences_that_is_torn_is_not_an_empty_one(switch, answer):
    switch.answers(LIST_CONFERENCES, answer)
    with pytest.raises(SwitchUnavailable):
        take_snapshot(switch)


@pytest.mark.parametrize("answer", ["", "-ERR No active conferences.", "No active conferences.\n"])
def test_no_conferences(switch, answer):
    switch.answers(LIST_CONFERENCES, answer)
    assert take_snapshot(switch).memberships == {}


@pytest.mark.parametrize(
    "odd",
    [
        5,
        None,
        {},
        {"conference_name": "x"},
        {"conference_name": "x", "members": None},
        {"conference_name": "x", "members": [5]},
        {"conference_name": "x", "members": [{"type": "recording_node"}]},
        {"members": [{"uuid": "b", "id": 1}]},
        {"conference_name": "x", "members": [{"uuid": ["b"], "id": 1}]},
    ],
)
def test_members_that_are_none(switch, odd):
    """One odd row does not keep the others from being seen."""
    good = {"conference_name": "vsi-1", "rate": 48000, "members": [{"uuid": "a", "id": 7}]}
    switch.answers(LIST_CONFERENCES, json.dumps([odd, good]))
    assert take_snapshot(switch).memberships == {"a": Membership("vsi-1", 48000, "7", True, True)}


@pytest.mark.parametrize(("rate", "flags"), [("fast", {}), (None, None), (-1, 5), ([], [])])
def test_a_member_with_odd_figures_is_one_all_the_same(switch, rate, flags):
    row = {"conference_name": "vsi-1", "rate": rate, "members": [{"uuid": "a", "id": 7, "flags": flags}]}
    switch.answers(LIST_CONFERENCES, json.dumps([row]))
    found = take_snapshot(switch).memberships["a"]
    assert (found.conference, found.member_id, found.speak, found.hear) == ("vsi-1", "7", True, True)


@pytest.mark.parametrize("flags", [{"can_speak": False}, {"can_hear": False}])
def test_flags_of_members(switch, flags):
    row = {"conference_name": "vsi-1", "rate": 8000, "members": [{"uuid": "a", "id": 7, "flags": flags}]}
    switch.answers(LIST_CONFERENCES, json.dumps([row]))
    found = take_snapshot(switch).memberships["a"]
    assert (found.speak, found.hear) == (flags.get("can_speak", True), flags.get("can_hear", True))


@pytest.mark.parametrize("answer", ["-ERR No such channel!", "", "{}", '{"Unique-ID": 5}'])
def test_dumps_that_are_none(switch, answer):
    switch.channels = {"a": channel("a"), "b": channel("b")}
    switch.answers("uuid_dump a", answer)
    assert list(take_snapshot(switch).channels) == ["b"]


def test_internal_channels_by_their_names(switch):
    ours = [
        "pb-00aa11bb",
        "rec-00aa11bb22cc",
        "pb-00aa11bb-abc123",
        "br-00aa11bb22cc44dd",
        "rec-00aa11bb22cc-abc123",
    ]
    others = ["a", "pb-", "bridge-1", "vsi-bond", "rec-XYZ00000", "br-1"]
    switch.rows = [{"uuid": id} for id in (*ours, *others)]
    assert sorted(take_snapshot(switch).internal) == sorted(ours)


@pytest.mark.parametrize(
    ("dump", "expected"),
    [
        (channel("a"), True),
        (channel("a", "inbound"), True),
        (channel("a", "outbound", vsi_internal="true"), False),
        (channel("a", "nobody"), False),
        ({"Unique-ID": "a"}, False),
    ],
)
def test_which_channels_are_legs(dump, expected):
    assert snapshot.is_leg(dump) is expected


def test_the_times_of_a_dump_tell_the_switchs_clock(switch):
    switch.channels = {"a": channel("a") | {"Event-Date-Timestamp": "1000000000"}}
    take_snapshot(switch)
    assert switch.clock.time_of({"At": "1000000000"}, "At") > 1_600_000_000


def test_a_switch_that_is_away(switch):
    switch.away = True
    for look in (take_snapshot, snapshot.shown_channels, snapshot.memberships):
        with pytest.raises(SwitchUnavailable):
            look(switch)
    assert snapshot.dumps(switch, []) == {}
