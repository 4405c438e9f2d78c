"""Recordings of legs that are put on hold, by us or by their peer: the timeline is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.calls import answered, in_room
from tests.support.drivers import eventually
from tests.support.recorded import seconds
from tests.support.service import settled
from vsi_esl.model.sound_stores import Recordings

STRETCH_S = 1.6
"""Longer than what a recording may be shorter than by the clock without being called incomplete."""
NEAR_S = 0.5


def elapse(seconds: float = STRETCH_S) -> None:
    """Time is what is measured here."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, "time passes", seconds + 20)


@pytest.fixture(params=["us", "peer"])
def hold(request, client) -> Callable[..., None]:
    """Hold a leg, or take it off hold; returns when that is known."""

    def set_hold(peer, leg: str, on: bool) -> None:
        if request.param == "us":
            client.ok("hold_leg" if on else "unhold_leg", id=leg)
        else:
            peer.hold() if on else peer.unhold()
        client.event("leg.hold" if on else "leg.unhold", leg_id=leg)

    return set_hold


class Lasted:
    """A recording, from before its start until after its end: however slow the machine is, it is as long as
    the clock says between the two commands."""

    def __init__(self, client, name: str, **payload: Any) -> None:
        self._before = time.monotonic()
        client.ok(name, **payload)
        self._after = time.monotonic()

    def ended(self, client, name: str, **payload: Any) -> dict[str, Any]:
        self._least = time.monotonic() - self._after
        reply = client.ok(name, **payload)
        self._most = time.monotonic() - self._before
        return reply

    def fits(self, seconds: float) -> bool:
        return self._least - NEAR_S <= seconds <= self._most + NEAR_S


def recorded(client, leg: str) -> Lasted:
    return Lasted(client, "leg_record_start", id=leg)


def finished(client, leg: str, lasted: Lasted) -> None:
    """It is as long as the clock says, and nothing is said to be missing."""
    file = lasted.ended(client, "leg_record_stop", id=leg)["file"]
    assert "error" not in client.event("recording.finished", leg_id=leg)
    assert lasted.fits(seconds(file))


def test_a_leg_held_and_taken_off_hold_twice(switch, client, service, hold):
    peer, leg = answered(switch, client)
    settled(service, leg)
    lasted = recorded(client, leg)
    for _ in range(2):
        hold(peer, leg, True)
        elapse()
        hold(peer, leg, False)
    elapse(0.5)
    finished(client, leg, lasted)


def test_a_leg_that_is_on_hold_to_the_end(switch, client, service, hold):
    peer, leg = answered(switch, client)
    settled(service, leg)
    lasted = recorded(client, leg)
    hold(peer, leg, True)
    elapse()
    finished(client, leg, lasted)


def test_a_leg_that_is_on_hold_all_the_time(switch, client, service, hold):
    peer, leg = answered(switch, client)
    settled(service, leg)
    hold(peer, leg, True)
    lasted = recorded(client, leg)
    elapse()
    finished(client, leg, lasted)


def test_a_leg_that_goes_into_a_room_and_is_played_something(switch, client, hold):
    """The recording goes on in another file then."""
    peer, leg = in_room(switch, client)
    lasted = recorded(client, leg)
    hold(peer, leg, True)
    elapse()
    hold(peer, leg, False)
    playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    client.event("playback.started", playback_id=playback)
    hold(peer, leg, True)
    elapse()
    hold(peer, leg, False)
    finished(client, leg, lasted)


def test_a_room_and_its_tracks(switch, client, service, hold):
    """The track of a leg that was held is as long as the recording, and no track is left out."""
    peer, leg = in_room(switch, client)
    in_room(switch, client)
    lasted = Lasted(client, "room_record_start", id="r", multi_channel=True)
    (recording,) = service.ctx.get(Recordings)
    began = time.monotonic()
    hold(peer, leg, True)
    elapse()
    hold(peer, leg, False)
    (track,) = [one for one in recording.tracks if one.leg_id == leg]
    ((begin, end),) = track.held
    assert STRETCH_S * 1000 <= end - begin <= (time.monotonic() - began) * 1000
    reply = lasted.ended(client, "room_record_stop", id="r")
    assert "error" not in client.event("recording.finished", room_id="r")
    assert lasted.fits(seconds(reply["file"]))
    assert lasted.fits(seconds(reply["multi_channel_file"]))
    assert lasted.fits(reply["channels"][leg]["end_ms"] / 1000)


def test_who_is_there_from_the_start_begins_at_zero(switch, client, service):
    legs = [in_room(switch, client)[1] for _ in range(3)]
    client.ok("room_record_start", id="r", multi_channel=True)
    late = in_room(switch, client)[1]
    eventually(lambda: any(one.tracks[-1].leg_id == late for one in service.ctx.get(Recordings)), "its track")
    channels = client.ok("room_record_stop", id="r")["channels"]
    assert [channels[leg]["start_ms"] for leg in legs] == [0, 0, 0]
    assert channels[late]["start_ms"] > 0
