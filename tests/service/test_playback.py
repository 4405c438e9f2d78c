"""Playing URLs and tones to legs and rooms."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, finished, started
from tests.support.drivers import eventually
from tests.support.service import settled
from tests.support.webserver import tone


def test_several_at_once_on_a_leg_and_a_room(switch, client, service, long):
    _, leg = answered(switch, client)
    settled(service, leg)
    alone = [client.ok("leg_play_start", id=leg, url=long)["playback_id"] for _ in range(3)]
    for playback in alone:
        started(client, playback)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    together = [client.ok("room_play_start", id="r", url=long)["playback_id"] for _ in range(3)]
    for playback in together:
        started(client, playback)
    assert not client.seen("playback.finished") and not client.seen("playback.error")
    client.ok("room_play_stop", id="r", playback_id=together[0])
    client.ok("leg_play_stop", id=leg, playback_id=alone[0])
    for playback in (together[0], alone[0]):
        assert finished(client, playback)["reason"] == "stopped"
        client.rewind()
    assert len(client.seen("playback.finished")) == 2
    view = client.ok("get_room", id="r")
    assert [one["id"] for one in view["participants"]] == [leg]
    assert len(client.ok("list_legs")) == 1
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    ended = client.seen("playback.finished")
    assert sorted(one["playback_id"] for one in ended) == sorted(alone + together)
    eventually(lambda: not switch.channels("pb-"), "the bots are gone")


@pytest.mark.parametrize(
    ("path", "mime_type", "error"),
    [
        ("/missing.wav", "", "fetch audio: status 404"),
        ("/page.wav", "", "not a valid WAV file"),
        ("/page", "audio/wav", "not a valid WAV file"),
        ("/page.mp3", "", "mp3 decode: "),
        ("/endless", "", "fetch audio: larger than 1000000 bytes"),
        ("/hang", "", "fetch audio: no complete answer within 1 s"),
        ("/stall", "", "fetch audio: no complete answer within 1 s"),
    ],
)
def test_what_cannot_be_played(switch, connect, start, web, path, mime_type, error):
    patience = 1.0 if "within" in error else 20.0
    service = start(playback={"fetch_timeout": patience, "max_bytes": 1_000_000})
    client = connect(service)
    page = b"<html><body>Not what you think</body></html>"
    for name in ("/page.wav", "/page", "/page.mp3"):
        web.put(name, page, "audio/wav")
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=web.url(path), mime_type=mime_type)["playback_id"]
    assert client.event("playback.error", playback_id=playback)["error"].startswith(error)
    assert not client.seen("playback.started") and not client.seen("playback.finished")


def test_private_addresses_are_refused_by_default(switch, connect, start, prompt):
    client = connect(start(playback={"allow_private_urls": False}))
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=prompt)["playback_id"]
    error = client.event("playback.error", playback_id=playback)["error"]
    assert error == "fetch audio: 127.0.0.1 has a private address (127.0.0.1), which is not allowed"


def test_a_restart_of_the_service_keeps_the_playback(switch, connect, start, web):
    first = start()
    client = connect(first)
    _, leg = answered(switch, client)
    settled(first, leg)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    url = web.put("/five.wav", tone(700, 5))
    endless = client.ok("leg_play_start", id=leg, tone="us_dial")["playback_id"]
    short = client.ok("room_play_start", id="r", url=url)["playback_id"]
    eventually(lambda: len(client.seen("playback.started")) == 2, "both play")
    last = client.events[-1]["event_id"]
    first.stop()
    client = connect(start(), f"?since={last}")
    assert finished(client, short)["reason"] == "completed"
    client.ok("leg_play_volume", id=leg, playback_id=endless, volume=-3)
    client.ok("leg_play_stop", id=leg, playback_id=endless)
    assert finished(client, endless)["reason"] == "stopped"
    eventually(lambda: not switch.channels("pb-"), "the bot is gone")
