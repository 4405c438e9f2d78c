"""`python -m tests.screenshots` (`make screenshots`): pictures of the console for the documents, of a busy
hour in the sandbox. Needs Chromium. Written to docs/images/."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import patched  # noqa: F401  isort: skip - before everything else

from tests.support.calls import ring
from tests.support.drivers import SandboxDriver
from tests.support.page import Page
from tests.support.png import shrink
from tests.support.vsi import VsiClient
from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.settings import HttpSettings, StateSettings, SwitchSettings
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
CALLERS = (
    ("+4930901820", "+49800100", "support"),
    ("+441632960021", "+49800100", "support"),
    ("+12025550143", "+49800100", ""),
    ("+33199005566", "+49800200", "sales"),
    ("+390699001234", "+49800200", "sales"),
    ("+34910000512", "+49800200", ""),
    ("+4989999998", "+49800100", "support"),
    ("+48221006677", "+49800300", "accounts"),
    ("+61291568811", "+49800300", "accounts"),
)
SUPPORT = "support-4711"


@contextmanager
def service() -> Iterator[tuple[SandboxDriver, str]]:
    """A service on a sandbox; its address."""
    switch = SandboxDriver()
    with tempfile.TemporaryDirectory(prefix="vsi_esl-") as directory:
        config = Config(
            instance_id="pbx1",
            switch=SwitchSettings(host=switch.host, port=switch.port, password=switch.password),
            http=HttpSettings(addr="127.0.0.1:0", shutdown_timeout=4.0),
            state=StateSettings(path=":memory:"),
        ).having(RecordingSettings(dir=f"{directory}/rec"), PlaybackSettings(spool_dir=f"{directory}/s"))
        running = Service(config)
        running.start()
        assert running.ctx.nodes.wait_ready(10)
        try:
            yield switch, f"127.0.0.1:{running.http.server.server_port}"
        finally:
            running.stop()
            switch.stop()


def busy_hour(switch: SandboxDriver, client: VsiClient) -> None:
    """Calls in all states, rooms, a coach whom only the agent hears, a recording."""
    legs = {}
    for caller, called, app in CALLERS:
        peer, leg = ring(switch, client, from_=caller, to=called, headers={"X-App-ID": app or "front-desk"})
        client.ok("answer_leg", id=leg, speech_detection=True)
        client.event("leg.connected", leg_id=leg)
        legs[caller] = peer, leg
    first, second = legs["+4930901820"], legs["+441632960021"]
    agent = client.ok(
        "create_leg", type="sip", to="sip:answer@127.0.0.1", from_="+49800100", app_id="support"
    )["id"]
    client.event("leg.connected", leg_id=agent)
    for leg, role in ((first[1], "caller"), (agent, "agent"), (second[1], "coach")):
        client.ok("add_leg_to_room", room_id=SUPPORT, leg_id=leg, role=role)
    matrix = {"caller": ["agent"], "agent": ["caller", "coach"], "coach": ["caller", "agent"]}
    client.ok("room_routing_set", room_id=SUPPORT, matrix=matrix)
    client.ok("room_record_start", id=SUPPORT)
    for caller in ("+33199005566", "+390699001234"):
        client.ok("add_leg_to_room", room_id="sales-call", leg_id=legs[caller][1])
    for caller in ("+48221006677", "+61291568811"):
        client.ok("add_leg_to_room", room_id="quarter-review", leg_id=legs[caller][1])
    client.ok("bridge_create", room_id="sales-call", peer_room_id="quarter-review", direction="bidirectional")
    client.ok("mute_leg", id=legs["+390699001234"][1])
    client.ok("hold_leg", id=legs["+34910000512"][1])
    client.event("leg.hold")
    client.ok("leg_play_start", id=legs["+12025550143"][1], tone="us_ringback", repeat=-1)
    for caller in ("+3222000111", "+4314000123"):
        switch.call(from_=caller, to="+49800100", headers={"X-App-ID": "front-desk"})
        client.event("leg.ringing")
    first[0].talk(True)
    client.event("speaking.started")
    first[0].dtmf("42")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    page = Page()
    try:
        with service() as (switch, address):
            page.dark(False)
            page.open(f"http://{address}/console")
            page.sees("Live")
            client = VsiClient(address)
            busy_hour(switch, client)
            page.click(SUPPORT)
            page.sees("Who hears whom", "#detail")
            shoot(page, "console-light")
            page.evaluate("location.hash = '#/legs'")
            page.dark(True)
            page.click("+4930901820")
            page.sees("Last events", "#detail")
            shoot(page, "console-dark")
            page.evaluate("location.hash = '#/events'")
            page.dark(False)
            shoot(page, "console-events")
            page.evaluate("location.hash = '#/system'")
            page.sees("VSI clients")
            page.sees("Given up")
            shoot(page, "console-system")
            page.size(390, 780, phone=True)
            page.evaluate("location.hash = '#/legs'")
            shoot(page, "console-phone")
            page.click("+4930901820")
            page.sees("Last events", "#detail")
            shoot(page, "console-phone-leg")
            client.close()
    finally:
        page.stop()


def shoot(page: Page, name: str) -> None:
    page.evaluate("document.activeElement?.blur(); document.getElementById('toasts').replaceChildren()")
    page.sees("Switch ready", "#health")
    page.chromium.ask("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
    page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished)).then(() => 1)")
    path = IMAGES / f"{name}.png"
    page.screenshot(path)
    path.write_bytes(shrink(path.read_bytes()))


if __name__ == "__main__":
    main()
