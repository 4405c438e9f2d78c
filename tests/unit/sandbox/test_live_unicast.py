"""Loopback pairs with `unicast`, and eavesdrop, in the sandbox: who hears whom, what ends it. As measured."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.audiosink import level, unicast_end
from tests.support.drivers import eventually
from tests.support.rawcalls import action, incoming, join, of
from tests.support.rawclient import connected
from tests.support.rawpairs import pair, unicast
from vsi_esl.sandbox import SandboxSwitch
from vsi_esl.sandbox.live import Ear

EVENTS = "MEDIA_BUG_START MEDIA_BUG_STOP CHANNEL_DESTROY CHANNEL_PARK CUSTOM conference::maintenance"
LOUD, FAINT = 7000, 100


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 8000 * np.sin(2 * np.pi * frequency / rate * np.arange(round(rate * seconds)))


def hears(switch: SandboxSwitch, leg: str, frequency: float, wanted: bool = True) -> None:
    """Until the last 0.4 s that the leg's caller heard has the tone, or has it not."""
    ear = Ear(switch.live, switch.channels[leg], frames=20)

    def settled() -> bool:
        frames = [one for one in ear.frames if one is not None]
        if len(ear.frames) < 20:
            return False
        heard = level(np.concatenate(frames), 8000, frequency) if len(frames) > 10 else 0.0
        return heard > LOUD if wanted else heard < FAINT

    eventually(settled, f"{leg} hears {frequency} Hz: {wanted}")
    ear.close()


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_a_participant_of_a_room_by_unicast(rate):
    """It hears the room without itself, and the room hears it."""
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        leg = incoming(client, codecs=["PCMU"])
        join(client, leg, "r")
        client.sandbox(do="say", uuid=leg, frequency=500)
        unicast(client, pair(client, "conference:r@vsi16000", rate), end)
        end.wait_for(15)
        assert {len(data) for data in end.received} == {rate // 25}
        assert level(end.samples(), rate, 500) > LOUD
        end.say(tone(900, rate), rate, for_ever=True)
        hears(switch, leg, 900)
        end.wait_for(20)
        assert level(end.samples(), rate, 900) < FAINT
        end.hush()
        hears(switch, leg, 900, False)


def test_a_room_notices_that_it_talks():
    with connected(*EVENTS.split()) as (_, client), unicast_end() as end:
        near = pair(client, "conference:r@vsi16000")
        far = client.api(f"uuid_getvar {near} other_loopback_leg_uuid")
        unicast(client, near, end)
        end.wait_for(1)
        end.say(tone(500, 16000, 0.2), 16000)
        action(client, far, "start-talking")
        action(client, far, "stop-talking")


def test_a_pair_ends_with_either_side():
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        near = pair(client, "conference:r@vsi16000")
        unicast(client, near, end)
        end.wait_for(1)
        client.api(f"uuid_kill {near}")
        of(client, "CHANNEL_DESTROY", near)
        action(client, "", "conference-destroy")
        assert not switch.channels
        eventually(lambda: not switch.live.listening, "nobody listens")


def test_the_queue_of_a_pair_is_short():
    """As measured: of a burst of a second three frames are left at most, and the newest of all."""
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        leg = incoming(client, codecs=["PCMU"])
        join(client, leg, "r")
        unicast(client, pair(client, "conference:r@vsi16000"), end)
        end.wait_for(1)
        ear = Ear(switch.live, switch.channels[leg], frames=None)
        for _ in range(50):
            end.send(tone(900, 16000, 0.02))
        eventually(lambda: len(ear.frames) > 60, "a second has passed")
        loud = sum(1 for one in ear.frames if one is not None and np.abs(one).max() > LOUD)
        # more of them on a machine so busy that frames are caught up on
        assert 1 <= loud <= 12


def test_frames_of_other_lengths_are_taken():
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        leg = incoming(client, codecs=["PCMU"])
        join(client, leg, "r")
        unicast(client, pair(client, "conference:r@vsi16000"), end)
        end.wait_for(1)
        ear = Ear(switch.live, switch.channels[leg], frames=None)
        end.send(tone(900, 16000, 0.04))
        eventually(lambda: len(ear.frames) > 10, "a while has passed")
        loud = sum(1 for one in ear.frames if one is not None and np.abs(one).max() > LOUD)
        assert 2 <= loud <= 3


def test_nobody_at_the_other_side_is_a_frame_of_ones():
    with connected(*EVENTS.split()) as (_, client), unicast_end() as end:
        unicast(client, pair(client, "park"), end)
        end.wait_for(3)
        assert set(end.samples()) == {-1}


def test_a_playback_ends_it_until_it_is_parked_again():
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end, unicast_end() as second:
        leg = incoming(client, codecs=["PCMU"])
        unicast(client, leg, end)
        end.wait_for(2)
        client.command(
            f"sendmsg {leg}\ncall-command: execute\nexecute-app-name: playback\nexecute-app-arg: /none.wav"
        )
        eventually(lambda: not switch.live.listening, "it is over")
        unicast(client, leg, second)
        client.api(f"uuid_transfer {leg} park inline")
        client.event(lambda one: one["Event-Name"] == "CHANNEL_PARK")
        eventually(lambda: switch.channels[leg].application == "park", "it is parked again")
        assert second.received == []
        unicast(client, leg, second)
        second.wait_for(2)


def test_only_in_park():
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        leg = incoming(client, codecs=["PCMU"])
        join(client, leg, "r")
        unicast(client, leg, end)
        hears(switch, leg, 900, False)
        assert end.received == []
        asked = switch.channels[leg].unicast
        assert asked is not None
        client.api(f"uuid_kill {leg}")
        of(client, "CHANNEL_DESTROY", leg)
        assert asked.closed


def test_two_of_one_port():
    """The second is a success that brings nothing."""
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        one, two = incoming(client), incoming(client)
        unicast(client, one, end)
        end.wait_for(1)
        unicast(client, two, end, end.switch[1])
        client.api("version")
        hears(switch, one, 900, False)
        assert switch.channels[two].unicast is None


def test_a_parked_caller_is_sent_what_comes():
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        leg = incoming(client, codecs=["PCMU"])
        client.sandbox(do="say", uuid=leg, frequency=500)
        unicast(client, leg, end)
        end.wait_for(15)
        assert {len(data) for data in end.received} == {320}
        assert level(end.samples(), 8000, 500) > LOUD
        end.say(tone(900, 8000), 8000, for_ever=True)
        hears(switch, leg, 900)


WHISPER = ",eavesdrop_whisper_bleg=true,eavesdrop_bridge_aleg=true,eavesdrop_bridge_bleg=true"


@pytest.mark.parametrize("turned", [False, True])
def test_an_agent_of_one_leg_in_a_room(turned):
    """eavesdrop_whisper_bleg: the leg hears it, the room does not; it hears the leg and the room."""
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        one, two = incoming(client, codecs=["PCMU"]), incoming(client, codecs=["PCMU"])
        join(client, one, "r")
        join(client, two, "r")
        client.sandbox(do="say", uuid=one, frequency=500)
        client.sandbox(do="say", uuid=two, frequency=900)
        unicast(client, pair(client, f"eavesdrop:{one}", 8000, WHISPER, turned), end)
        end.wait_for(15)
        assert level(end.samples(), 8000, 500) > LOUD
        assert level(end.samples(), 8000, 900) > LOUD
        end.say(tone(1300, 8000), 8000, for_ever=True)
        hears(switch, one, 1300)
        hears(switch, one, 900)
        hears(switch, two, 1300, False)
        hears(switch, two, 500)


def test_an_agent_that_hears_only_its_leg_and_speaks_for_it():
    more = ",eavesdrop_whisper_aleg=true,eavesdrop_bridge_aleg=true"
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        one, two = incoming(client, codecs=["PCMU"]), incoming(client, codecs=["PCMU"])
        join(client, one, "r")
        join(client, two, "r")
        client.sandbox(do="say", uuid=one, frequency=500)
        client.sandbox(do="say", uuid=two, frequency=900)
        unicast(client, pair(client, f"eavesdrop:{one}", 8000, more), end)
        end.wait_for(15)
        assert level(end.samples(), 8000, 500) > LOUD
        assert level(end.samples(), 8000, 900) < FAINT
        end.say(tone(1300, 8000), 8000, for_ever=True)
        hears(switch, two, 1300)
        hears(switch, one, 1300, False)


def test_of_another_rate_nothing_is_heard():
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        leg = incoming(client, codecs=["PCMU"])
        join(client, leg, "r")
        client.sandbox(do="say", uuid=leg, frequency=500)
        unicast(client, pair(client, f"eavesdrop:{leg}", 16000, WHISPER), end)
        end.wait_for(15)
        assert set(end.samples()) == {-1}
        end.say(tone(1300, 16000), 16000, for_ever=True)
        hears(switch, leg, 1300, False)


@pytest.mark.parametrize("idle", [True, False])
def test_a_parked_leg_hears_a_whisper_only_if_it_is_sent_silence(idle):
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        leg = incoming(client, codecs=["PCMU"])
        if idle:
            client.api(f"uuid_transfer {leg} 'set:send_silence_when_idle=-1,park' inline")
        unicast(client, pair(client, f"eavesdrop:{leg}", 8000, WHISPER), end)
        end.wait_for(1)
        end.say(tone(1300, 8000), 8000, for_ever=True)
        hears(switch, leg, 1300, idle)


def test_a_leg_of_g722_at_16_khz():
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        leg = incoming(client, codecs=["G722"])
        join(client, leg, "r")
        unicast(client, pair(client, f"eavesdrop:{leg}", 16000, WHISPER), end)
        end.wait_for(1)
        end.say(tone(1300, 16000), 16000, for_ever=True)
        hears(switch, leg, 1300)
