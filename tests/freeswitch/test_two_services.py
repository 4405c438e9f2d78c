"""Two services and one real switch: its owner is killed under calls, and the other goes on with them all."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import hears, in_room
from tests.support.redisserver import RedisServer
from tests.support.services import REAL_TIMES, OneOfSeveral
from vsi_esl.switch.lines import fence

LONGEST_S = 60.0
HURRIED = not REAL_TIMES


@pytest.fixture
def services(
    switch: PrivateSwitch, redis_server: RedisServer, tmp_path: Path
) -> Iterator[tuple[OneOfSeveral, OneOfSeveral]]:
    """The owner, and the other one."""
    at = SimpleNamespace(host="127.0.0.1", port=switch.esl_port, password=switch.password)
    made = []
    for name in ("a", "b"):
        made.append(OneOfSeveral(name, tmp_path, redis_server, {"one": at}, hurried=HURRIED))
    for one in made:
        one.listening()
    # of one unit the first by name has it, as soon as both are there
    eventually(lambda: made[0].owned() == {"one"} and not made[1].owned(), "the first has it", LONGEST_S)
    yield made[0], made[1]
    for one in made:
        one.close()


def taken_over(switch: PrivateSwitch, taker: OneOfSeveral, began: float) -> None:
    eventually(lambda: taker.owned() == {"one"}, "the other has it", LONGEST_S)
    seconds = time.monotonic() - began
    shown = fence.read(switch.api(fence.SHOWN))
    assert seconds < 10 and shown is not None and shown.service == taker.name
    print(f"the switch was had again after {seconds:.1f} s")


def test_the_owner_is_killed_under_calls_and_the_other_has_them_all(switch, agent, services):
    owner, taker = services
    client, other = owner.connect(), taker.connect()
    calls = dict(in_room(client, agent, tone)[::-1] for tone in (440, 700, 1100))
    legs = list(calls)
    client.ok("mute_leg", id=legs[2])
    client.ok("leg_record_start", id=legs[0])
    client.event("recording.started")
    client.ok("room_play_start", id="r", tone="us_dial")
    client.event("playback.started", room_id="r")
    eventually(lambda: not owner.figure("vsi_esl_state_unshipped"), "all is in Redis", LONGEST_S)
    client.close()
    owner.kill()
    began = time.monotonic()
    hears(calls[legs[0]], 700, True)  # the call goes on while nobody has it
    taken_over(switch, taker, began)
    views = {leg: other.ok("get_leg", id=leg) for leg in legs}
    assert {(one["room_id"], one["state"]) for one in views.values()} == {("r", "connected")}
    assert [views[leg]["muted"] for leg in legs] == [False, False, True]
    hears(calls[legs[1]], 440, True)
    hears(calls[legs[1]], 1100, False)
    other.ok("unmute_leg", id=legs[2])
    hears(calls[legs[0]], 1100, True)
    other.ok("leg_record_stop", id=legs[0])
    assert other.event("recording.finished", leg_id=legs[0])["file"]
    # the bond is there, whoever made it: a peer's REFER waits for the one that has the switch now
    calls[legs[1]].refer("sip:bob@example.com")
    other.event("leg.transfer_requested", leg_id=legs[1])
    other.ok("decline_transfer", id=legs[1])
    calls[legs[1]].wait("603 REFER")
    calls[legs[0]].bye()
    assert other.event("leg.disconnected", leg_id=legs[0])["cdr"]["reason"] == "remote_bye"
    other.ok("delete_leg", id=legs[1])
    calls[legs[1]].wait("BYE")
    other.close()


def test_an_owner_that_stood_still_does_nothing_when_it_goes_on(switch, agent, services):
    owner, taker = services
    client, other = owner.connect(), taker.connect()
    call, leg = in_room(client, agent, 440)
    gone, ended = in_room(client, agent, 700)
    eventually(lambda: not owner.figure("vsi_esl_state_unshipped"), "all is in Redis", LONGEST_S)
    owner.signal(signal.SIGSTOP)
    began = time.monotonic()
    taken_over(switch, taker, began)
    gone.bye()
    other.event("leg.disconnected", leg_id=ended)
    other.ok("mute_leg", id=leg)
    time.sleep(0 if HURRIED else max(0.0, 30 - (time.monotonic() - began)))
    owner.signal(signal.SIGCONT)
    eventually(lambda: owner.readyz()["cluster"]["owners"]["one"] == taker.name, "it has let go", LONGEST_S)
    assert other.ok("get_leg", id=leg)["muted"] and not call.ended
    ends = {one["event_id"] for one in [*client.events, *other.events] if one["type"] == "leg.disconnected"}
    assert len(ends) == 1
    assert fence.read(switch.api(fence.SHOWN)).service == taker.name
    client.close()
    other.close()


def test_of_an_owner_that_says_nothing_the_other_one_notes_so_on_the_switch(switch, services):
    owner, _ = services
    shown = fence.read(switch.api(fence.SHOWN))
    assert shown is not None and shown.service == owner.name
    assert fence.doubted(switch.api(fence.DOUBTED)) != shown.number
    owner.signal(signal.SIGSTOP)
    try:
        eventually(lambda: fence.doubted(switch.api(fence.DOUBTED)) == shown.number, "it is noted", LONGEST_S)
    finally:
        owner.signal(signal.SIGCONT)

    def taken_away() -> bool:
        switch.api(fence.CERTAIN)
        return fence.doubted(switch.api(fence.DOUBTED)) == 0

    eventually(taken_away, "it is not said any more", LONGEST_S)
