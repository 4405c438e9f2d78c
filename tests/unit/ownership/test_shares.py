"""How many switches are whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from vsi_esl.cluster.leases import Peer
from vsi_esl.ownership.shares import shares, too_many

PEERS = some.lists(
    some.builds(Peer, some.text("abc", min_size=1), some.just(""), some.integers(1, 9), some.booleans()),
    unique_by=lambda peer: peer.name,
)


@given(some.integers(0, 200), PEERS)
def test_all_are_given_out_evenly_by_weight_whoever_asks(switches, peers):
    found = shares(switches, peers)
    assert found == shares(switches, peers[::-1])
    staying = {peer.name: peer.weight for peer in peers if not peer.leaving}
    assert found.keys() == staying.keys()
    assert sum(found.values()) == (switches if staying else 0)
    for name, count in found.items():
        assert abs(count - switches * staying[name] / sum(staying.values())) < 1


@pytest.mark.parametrize(
    ("held", "above"),
    [
        ({"a": 2}, 1),
        ({"a": 2, "b": 1}, 0),
        ({"a": 1, "b": 1}, 0),
        ({}, 0),
        ({"a": 5}, 1),
        ({"a": 9, "c": 4}, 1),
    ],
)
def test_one_is_above_its_share_as_far_as_others_want_them(held, above):
    assert too_many("a", {"a": 1, "b": 1}, held) == above
