"""`python -m tests.support.featured DIR`: run a service with the small feature, and say in JSON how it did.

In a process of its own: what a feature declares is there for good.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from tests.support import patched  # noqa: F401  isort: skip - before everything else

import websocket

from tests.support.drivers import SandboxDriver, eventually
from tests.support.http import HttpClient
from tests.support.log import recorded_log
from tests.support.vsi import VsiClient
from vsi_esl import features
from vsi_esl.protocol import names

assert "vsi_esl.protocol.registry" not in sys.modules
names.COMMANDS += ("leg_small_start",)  # none of the protocol's, which all will be there some day
features.FEATURES += ("tests.support.small.feature",)

from vsi_esl.access.tokens import line_of, new_token  # noqa: E402
from vsi_esl.app import Service  # noqa: E402
from vsi_esl.cli.doctor import machine_checks, switch_checks  # noqa: E402
from vsi_esl.config import Config, ConfigError, describe, load, reference_table  # noqa: E402
from vsi_esl.config.live import live  # noqa: E402
from vsi_esl.documents import asyncapi, openapi, pages  # noqa: E402
from vsi_esl.errors import NotSupported  # noqa: E402

CONTROL, READ, CONFINED = new_token(), new_token(), new_token()
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}
LIMIT = "VSI_ESL_SMALL_LIMIT"


def settings(home: str, switch: SandboxDriver) -> Config:
    """As a user sets them, the feature's among them."""
    tokens = (
        line_of("all", "control", CONTROL),
        line_of("reader", "read", READ),
        line_of("shop", "control", CONFINED, "^shop$"),
    )
    environ = {
        "STATE_DIRECTORY": home,
        "VSI_ESL_SWITCH_PORT": str(switch.port),
        "VSI_ESL_SWITCH_PASSWORD": switch.password,
        "VSI_ESL_TOKENS": ",".join(tokens),
        "HTTP_ADDR": "127.0.0.1:0",
        LIMIT: "1500ms",
    }
    return load(None, environ).config


def main(home: str) -> dict[str, Any]:
    """What was found, by subject."""
    switch = SandboxDriver()
    config = settings(home, switch)
    service = Service(config)
    service.start()
    assert service.ctx.nodes.default.wait_ready(20)
    address = f"127.0.0.1:{service.http.server.server_port}"
    found: dict[str, Any] = {}
    client = VsiClient(address, f"?token={CONTROL}")
    with recorded_log() as log:
        found["calls"] = dict(calls(service, switch, client))
        found["log"] = log.named("a feature failed")
    found["settings"] = [
        row for row in describe(load(None, {LIMIT: "1500ms"})) if row["key"] == "small.limit"
    ]
    found["settings page"] = LIMIT in reference_table()
    found["settings wrong"] = wrong({LIMIT: "2m"}) + wrong({LIMIT: "2m", "VSI_ESL_SMALL_LONGEST": "x"})
    found["live"] = "small.limit" in live()
    found["openapi"] = openapi.build()["paths"]
    found["asyncapi"] = asyncapi.build()["components"]["messages"]
    found["commands"] = pages.commands_markdown()
    found["metrics"] = HttpClient(address, Authorization=f"Bearer {CONTROL}")("GET", "/metrics").raw.decode()
    found["doctor"] = {
        check.name: [check.status, check.detail]
        for check in (*switch_checks(config), *machine_checks(config))
    }
    found["doctor all"] = [check.name for check in (*switch_checks(config), *machine_checks(config))]
    found["streams"] = dict(streams(address, service, client))
    client.close()
    switch.stop()
    return found


def calls(service: Service, switch: SandboxDriver, client: VsiClient) -> Iterator[tuple[str, Any]]:
    """A call with the feature's command, and its end."""
    from tests.support.small.feature import Analyses

    analyses = service.ctx.get(Analyses)
    leg = client.ok("create_leg", type="sip", to=switch.uri("answer"))["id"]
    client.event("leg.connected", leg_id=leg)
    yield "reply", client.ok("leg_small_start", id=leg)
    yield "event", client.event("small.result", leg_id=leg)["limit"]
    yield "unknown leg", client.error("leg_small_start", id="nobody")
    yield "told of media", analyses.connected == [leg]
    switch.switch.fire("CUSTOM", {"Unique-ID": leg}, subclass="small::beep")
    switch.switch.flush()
    eventually(lambda: analyses.beeps == [leg], "the event of the switch")
    recording = client.ok("leg_record_start", id=leg)["file"]
    client.ok("delete_leg", id=leg)
    yield "recorded", client.event("recording.finished", leg_id=leg)["file"] == recording
    yield "ended", client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"]
    node = service.ctx.nodes.default
    yield "modules", sorted(node.facts.missing_modules)
    yield "require", refusal(lambda: node.require("mod_small"))


def wrong(environ: dict[str, str]) -> list[str]:
    """What is said of such settings."""
    try:
        load(None, environ)
    except ConfigError as error:
        return error.problems
    return []


def refusal(action: Callable[[], object]) -> str:
    """What NotSupported says."""
    try:
        action()
    except NotSupported as error:
        return error.message
    return ""


def streams(address: str, service: Service, client: VsiClient) -> Iterator[tuple[str, Any]]:
    """The feature's WebSocket: opened, refused, and ended with the service."""
    client.ok("create_room", id="a/b", app_id="shop")
    client.ok("create_room", id="other", app_id="bank")
    url = f"ws://{address}/v1/rooms/a%2Fb/small?say=you said "
    one = websocket.create_connection(f"{url}&token={CONTROL}".replace(" ", "+"), timeout=20)
    yield "first", one.recv()
    one.send("hello")
    yield "answer", one.recv()
    one.send_binary(b"\x00\x01")
    yield "binary", one.recv()
    with closing(websocket.create_connection(f"{url}&token={CONFINED}".replace(" ", "+"), timeout=20)) as two:
        yield "confined", two.recv()
        metrics = HttpClient(address, Authorization=f"Bearer {CONTROL}")("GET", "/metrics").raw.decode()
        yield "counted", "vsi_esl_streams 2.0" in metrics

    def refused(path: str, token: str, **headers: str) -> tuple[int, str]:
        return HttpClient(address, Authorization=f"Bearer {token}")("GET", path, **headers).error

    yield "nobody's", refused("/v1/rooms/none/small", CONTROL, **UPGRADE)
    yield "of others", refused("/v1/rooms/other/small", CONFINED, **UPGRADE)
    yield "reader", refused("/v1/rooms/other/small", READ, **UPGRADE)
    yield "stranger", refused("/v1/rooms/other/small", "wrong", **UPGRADE)[0]
    yield "no upgrade", refused("/v1/rooms/other/small", CONTROL)
    service.stop()
    opcode, data = one.recv_data(control_frame=True)
    yield "closed", [opcode == websocket.ABNF.OPCODE_CLOSE, int.from_bytes(data[:2], "big")]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
