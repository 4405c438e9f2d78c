"""`python -m tests.record_examples`: one example of each command and event, as the sandbox gives them.

Written to vsi_esl/documents/examples.json, for the documents. To be run again when a command or event
changes; a test says when.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import patched  # noqa: F401  isort: skip - before everything else

from tests import examples
from tests.support.drivers import SandboxDriver, SandboxPeer
from tests.support.sttserver import SttServer
from tests.support.vsi import VsiClient
from vsi_esl.agents.settings import AgentSettings
from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.providers import ProviderSettings
from vsi_esl.config.settings import HttpSettings, StateSettings, SwitchSettings
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings

TARGET = Path(__file__).resolve().parents[1] / "vsi_esl" / "documents" / "examples.json"
NOBODY = "http://127.0.0.1:1"
"""Instead of the providers; who shows one brings its server."""
RECORDINGS = "/var/lib/vsi_esl/recordings"


class Recorder(VsiClient):
    """Keeps the first good answer to each command."""

    def __init__(self, address: str, stt: SttServer) -> None:
        super().__init__(address)
        self.stt = stt
        """What is Deepgram to the service."""
        self.commands: dict[str, Any] = {}

    def ok(self, name: str, **payload: Any) -> Any:
        data = super().ok(name, **payload)
        shown = {key.rstrip("_"): value for key, value in payload.items()}
        self.commands.setdefault(name, {"payload": shown, "data": data})
        return data


def scenario(switch: SandboxDriver, client: Recorder) -> None:
    """A caller and two callees, two rooms, and everything there is to do with them."""
    peer, leg = answer(switch, client)
    routing(client, leg)
    out = call_out(switch, client)
    states(peer, client, leg)
    sound(client, leg)
    bridges(client)
    ringing = client.ok("create_leg", type="sip", to=switch.uri("ring"))["id"]
    client.ok("leg_ring", id=ringing)
    client.event("leg.command_failed")
    client.ok("delete_leg", id=ringing)
    client.ok("remove_leg_from_room", room_id="support", leg_id=leg)
    client.event("leg.left_room")
    client.ok("delete_leg", id=out)
    client.event("leg.disconnected", leg_id=out)
    client.ok("delete_room", id="support")


def answer(switch: SandboxDriver, client: Recorder) -> tuple[SandboxPeer, str]:
    peer = switch.call("+15550199", "+15550100", rtt=True, headers={"X-App-ID": "shop", "X-Customer": "4711"})
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("list_legs")
    client.ok("leg_ring", id=leg)
    client.ok("leg_early_media", id=leg, codec="PCMU")
    client.event("leg.early_media")
    client.ok("answer_leg", id=leg, speech_detection=True)
    client.event("leg.connected")
    client.ok("get_leg", id=leg)
    return peer, leg


def routing(client: Recorder, leg: str) -> None:
    client.ok("create_room", id="support", app_id="shop", sample_rate=16000)
    client.ok("room_routing_set", room_id="support", matrix={"customer": ["agent"], "agent": ["customer"]})
    client.ok("room_routing_get", id="support")
    rows = [{"listener_role": "coach", "sources": ["agent"]}, {"listener_role": "agent"}]
    client.ok("room_routing_update", room_id="support", updates=rows)
    client.ok("room_routing_set", room_id="support", matrix={})
    client.ok("add_leg_to_room", room_id="support", leg_id=leg, role="customer")
    client.event("leg.joined_room", leg_id=leg)
    client.ok("set_leg_role", leg_id=leg, role="agent")


def call_out(switch: SandboxDriver, client: Recorder) -> str:
    out: str = client.ok(
        "create_leg",
        type="sip",
        to=switch.uri("answer"),
        from_="+15550100",
        ring_timeout=30,
        codecs=["G722", "PCMU"],
        headers={"X-Case": "4711"},
        room_id="support",
        app_id="shop",
    )["id"]
    client.event("leg.joined_room", leg_id=out)
    client.ok("list_rooms")
    client.ok("get_room", id="support")
    return out


def states(peer: SandboxPeer, client: Recorder, leg: str) -> None:
    for name in ("mute_leg", "unmute_leg", "deaf_leg", "undeaf_leg", "reject_leg_dtmf", "accept_leg_dtmf"):
        client.ok(name, id=leg)
    for name in ("reject_leg_rtt", "accept_leg_rtt"):
        client.ok(name, id=leg)
    client.ok("hold_leg", id=leg)
    client.event("leg.hold")
    client.ok("unhold_leg", id=leg)
    client.event("leg.unhold")
    peer.talk(True)
    client.event("speaking.started")
    peer.talk(False)
    client.event("speaking.stopped")
    peer.dtmf("5")
    client.event("dtmf.received")
    client.ok("send_leg_dtmf", id=leg, digits="12#")
    peer.type("hello")
    client.event("rtt.received")
    client.ok("send_leg_rtt", id=leg, text="How can we help?")


def sound(client: Recorder, leg: str) -> None:
    for kind, owner in (("leg", leg), ("room", "support")):
        playback = client.ok(f"{kind}_play_start", id=owner, tone="us_ringback", repeat=-1, volume=-2)
        client.event("playback.started")
        ids = {"id": owner, "playback_id": playback["playback_id"]}
        client.ok(f"{kind}_play_volume", **ids, volume=2)
        client.ok(f"{kind}_play_stop", **ids)
        client.event("playback.finished")
        more = {"multi_channel": True} if kind == "room" else {"filename": "call-4711"}
        client.ok(f"{kind}_record_start", id=owner, storage="file", **more)
        client.event("recording.started")
        client.ok(f"{kind}_record_pause", id=owner)
        client.ok(f"{kind}_record_resume", id=owner)
        client.ok(f"{kind}_record_stop", id=owner)
        client.event("recording.finished")
    client.ok("leg_play_start", id=leg, url="http://127.0.0.1:1/greeting.wav")
    client.event("playback.error")


def bridges(client: Recorder) -> None:
    client.ok("create_room", id="music")
    ids = {"room_id": "support", "bridge_id": "b1"}
    client.ok("bridge_create", **ids, peer_room_id="music", direction="receive")
    client.event("room.bridged")
    client.ok("bridge_list", room_id="support")
    client.ok("bridge_get", **ids)
    client.ok("bridge_update", **ids, direction="bidirectional")
    client.event("room.bridge_updated")
    client.ok("bridge_delete", **ids)
    client.event("room.unbridged")


def scenarios() -> list[Callable[[SandboxDriver, Recorder], None]]:
    """That of the core, then those of features."""
    modules = [
        importlib.import_module(f"tests.examples.{one.name}")
        for one in pkgutil.iter_modules(examples.__path__)
    ]
    return [scenario, *(module.scenario for module in modules)]


def record() -> dict[str, Any]:
    """The examples: {"commands": {name: {"payload", "data"}}, "events": {type: event}}."""
    with tempfile.TemporaryDirectory() as home:
        switch, stt = SandboxDriver(), SttServer()
        service = Service(
            Config(
                instance_id="pbx1",
                switch=SwitchSettings(host=switch.host, port=switch.port, password=switch.password),
                http=HttpSettings(addr="127.0.0.1:0"),
                state=StateSettings(path=f"{home}/state.sqlite3"),
                providers=ProviderSettings(
                    elevenlabs_url=NOBODY, vapi_url=NOBODY, deepgram_url=stt.url, deepgram_agent_url=NOBODY
                ),
            ).having(
                RecordingSettings(dir=f"{home}/recordings"),
                PlaybackSettings(spool_dir=f"{home}/spool"),
                AgentSettings(allow_private_urls=True),
            )
        )
        try:
            service.start()
            assert service.ctx.nodes.default.wait_ready(10)
            client = Recorder(f"127.0.0.1:{service.http.server.server_port}", stt)
            events: dict[str, Any] = {}
            for one in scenarios():
                before = len(client.events)
                one(switch, client)
                found: dict[str, Any] = {}
                for event in client.events[before:]:  # the one with the most to show
                    found[event["type"]] = max(found.get(event["type"], {}), event, key=len)
                events = found | events
            recorded = {"commands": client.commands, "events": dict(sorted(events.items()))}
            client.close()
        finally:
            service.stop()
            switch.stop()
            stt.stop()
        text = json.dumps(recorded, indent=1, ensure_ascii=False)
        return json.loads(text.replace(f"{home}/recordings", RECORDINGS))


def write(*, all_of_them: bool = True) -> None:
    """Write them to where the documents have them from; or those only that are missing there."""
    found = record()
    if not all_of_them:
        before = json.loads(TARGET.read_text())
        for kind, ones in found.items():
            found[kind] = {name: before[kind].get(name, one) for name, one in ones.items()}
    TARGET.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write()
