"""create_leg: dialling out, and every way it can end."""

from __future__ import annotations

import structlog

from tests.support.calls import dial


def invite_of(switch, client, **request):
    """What the callee reads in the INVITE of an answered call."""
    leg = dial(switch, client, "instant", **request)
    client.event("leg.connected", leg_id=leg)
    return switch.callee().header


def test_what_the_switch_says_of_itself_is_left_out(switch, client):
    with structlog.testing.capture_logs() as lines:
        header = invite_of(switch, client, headers={"k": "100rel", "Allow-Events": "x", "X-Order": "42"})
    assert "100rel" not in header("Supported")
    assert header("Allow-Events") != "x"
    assert header("X-Order") == "42"
    (line,) = [line for line in lines if line["event"].startswith("headers left out")]
    assert (line["log_level"], line["names"]) == ("warning", ["k", "Allow-Events"])


def test_the_proxy_of_all_calls_and_that_of_one(switch, start, connect):
    def proxy(name: str) -> str:
        return switch.uri("").replace("@", "") + f";x={name}"

    client = connect(start(sip={"outbound_proxy": f" {proxy('all')} "}))
    for name, request in (("all", {}), ("one", {"outbound_proxy": proxy("one")})):
        leg = client.ok("create_leg", type="sip", to="sip:instant@192.0.2.1", **request)["id"]
        client.event("leg.connected", leg_id=leg)
        assert switch.callee().header("Route") == f"<{proxy(name)};lr>"
        client.ok("delete_leg", id=leg)
        client.event("leg.disconnected", leg_id=leg)
