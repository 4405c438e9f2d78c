"""Peers' REFERs on a real switch, and what an INVITE with Replaces must not do there."""

from __future__ import annotations

import time

import pytest

from tests.support.drivers import eventually
from tests.support.hearing import hears, in_room
from tests.support.refers import refused
from tests.support.sipua import tag
from tests.support.transfers import OVER


def decided(client, leg, call, target):
    """A REFER waits, and a client has accepted it; after how many seconds the peer knew."""
    call.refer(target)
    event = client.event("leg.transfer_requested", leg_id=leg)
    asked = time.monotonic()
    client.ok("accept_transfer", id=leg)
    call.wait("202 REFER")
    return event, time.monotonic() - asked


@pytest.mark.parametrize("by", ["tags", "no tags", "the leg's id"])
def test_an_invite_with_replaces_takes_over_no_call(client, agent, by):
    """The switch does not look at the tags, and takes a channel's id for a Call-ID."""
    victim, leg = in_room(client, agent, 440)
    other, _ = in_room(client, agent, 700)
    dialog = {
        "tags": f"{victim.call_id};to-tag={tag(victim.remote)};from-tag={victim.tag}",
        "no tags": f"{victim.call_id};to-tag=0;from-tag=0",
        "the leg's id": f"{leg};to-tag=0;from-tag=0",
    }[by]
    intruder = agent.call("+15550199", headers={"replaces": dialog})
    intruder.wait("BYE")
    hears(other, 440, True)
    assert not victim.ended and client.ok("get_leg", id=leg)["room_id"] == "r"
    assert len(client.ok("list_legs")) == 2 and len(client.seen("leg.ringing")) == 2
    # and its REFERs still wait for us
    decided(client, leg, victim, "sip:bob@example.com")


def test_a_decision_comes_in_time_whatever_is_played(client, agent):
    call, leg = in_room(client, agent, 440)
    client.ok("leg_play_start", id=leg, tone="us_dial")
    client.event("playback.started")
    client.ok("room_play_start", id="r", tone="us_ringback")
    client.event("playback.started")
    client.ok("leg_record_start", id=leg)
    client.event("recording.started")
    _, seconds = decided(client, leg, call, "sip:bob@example.com")
    assert seconds < 5
    client.ok("complete_transfer", id=leg, success=True)
    client.event("leg.transfer_completed", leg_id=leg)
    eventually(lambda: any(OVER in one.get("subscription-state") for one in call.messages), "the last report")
    assert call.wrongs == []


def test_a_long_refer_to(client, agent):
    """The switch shows 511 bytes, and of a longer one what fits, over what it has shown before; that is
    seldom taken for an address. The call goes on."""
    call, leg = in_room(client, agent, 440)
    replaces = "Replaces=" + 400 * "x" + "%40h%3Bto-tag%3Da%3Bfrom-tag%3Db"
    event, _ = decided(client, leg, call, f"sip:bob@example.com?{replaces}")
    assert event["replaces_call_id"] == 400 * "x" + "@h"
    client.ok("complete_transfer", id=leg, success=True)
    client.event("leg.transfer_completed", leg_id=leg)
    for target in (f"sip:bob@example.com?X={1000 * 'x'}&{replaces}", f"sip:{600 * 'x'}@h"):
        if not refused(call, client, target, referred_by="<sip:alice@example.com>"):
            client.ok("decline_transfer", id=leg)
    assert client.ok("get_leg", id=leg)["state"] == "connected"
