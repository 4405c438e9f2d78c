"""What callers press, say and type, and what clients keep secret, is in no log line above debug.

Each scenario runs twice: as it is, and with the log's last line of defence taken away, so that it is seen
where a line is written that should not be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.calls import answered, ring
from tests.support.drivers import eventually
from tests.support.log import Log, recorded_log
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.app import Service
from vsi_esl.ops import privacy
from vsi_esl.protocol import registry
from vsi_esl.switch.esl.writer import Command, Writer

DIGITS = "8642097531"
PRESSED = "159159"
TEXT = "my-card-is-4929"
TYPED = "the-safe-is-behind"
AUTH_USER = "trunk-user-77"
AUTH_PASSWORD = "sip-pass-Zx81"
WEBHOOK_SECRET = "whsec-Qq12"
S3_ACCESS, S3_SECRET = "AKIAHYGIENE0", "s3-secret-Yy34"
CALLER, CALLED, PERSON = "5557310001", "5557310002", "Grete Meyer"
URL_LOGIN, URL_KEY = "hook-login-Rr78", "key-in-query-Tt90"
HEADER_AUTHORIZATION = "Basic aHlnaWVuZTpoeWdpZW5l"
HEADER_SECRET = "x-secret-Ww56"
SECRETS = (
    DIGITS,
    TEXT,
    TYPED,
    AUTH_USER,
    AUTH_PASSWORD,
    WEBHOOK_SECRET,
    S3_ACCESS,
    S3_SECRET,
    HEADER_AUTHORIZATION,
    HEADER_SECRET,
)


def check(log: Log, *secrets: str) -> None:
    """None of the secrets is above debug."""
    for line in log.above_debug:
        text = json.dumps(line, ensure_ascii=False)
        for secret in (*SECRETS, *secrets):
            assert secret not in text, line


def _as_it_is(_: Any, __: str, event: Any) -> Any:
    return event


@pytest.fixture
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """With the parameter "bare", nothing is taken out of the lines."""
    if getattr(request, "param", "") == "bare":
        monkeypatch.setattr(privacy, "hide_private", _as_it_is)
        monkeypatch.setattr(privacy, "scrub", _as_it_is)
    with recorded_log() as log:
        yield log


both = pytest.mark.parametrize("log", ["defended", "bare"], indirect=True)


def dial(uri: str, **more: Any) -> dict[str, Any]:
    """create_leg with everything that is secret in it."""
    return {
        "type": "sip",
        "to": uri,
        "auth": {"username": AUTH_USER, "password": AUTH_PASSWORD},
        "headers": {"X-Secret": HEADER_SECRET},
        "webhook_url": "https://hook.invalid/hook",
        "webhook_secret": WEBHOOK_SECRET,
        **more,
    }


S3_REQUEST = {
    "storage": "s3",
    "s3_bucket": "recordings",
    "s3_endpoint": "http://127.0.0.1:1",
    "s3_access_key": S3_ACCESS,
    "s3_secret_key": S3_SECRET,
}


@both
def test_what_goes_well(log, switch, start, connect):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client, rtt=True)
    eventually(lambda: service.ctx.legs.get(leg).rtt_negotiated, "text is agreed on")
    client.ok("send_leg_dtmf", id=leg, digits=DIGITS)
    client.ok("send_leg_rtt", id=leg, text=TEXT)
    peer.dtmf(PRESSED)
    for digit in PRESSED:
        client.event("dtmf.received", digit=digit)
    peer.type(TYPED)
    client.event("rtt.received")
    other = client.ok("create_leg", **dial(switch.uri("instant")))["id"]
    client.event("leg.connected", leg_id=other)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("add_leg_to_room", room_id="r", leg_id=other)
    client.event("leg.joined_room", leg_id=other)
    peer.dtmf(PRESSED)
    peer.type(TYPED)
    client.event("rtt.received")
    client.ok("create_room", id="hooked", webhook_url="https://hook.invalid/", webhook_secret=WEBHOOK_SECRET)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    client.close()
    eventually(lambda: log.named("vsi connection closed") != [], "the connection is logged")
    assert log.named("switch ready")
    check(log, PRESSED, service.config.switch.password)
    assert not any("digit" in line or "digits" in line or "text" in line for line in log.above_debug)


@both
def test_what_is_refused(log, switch, start, connect):
    service = start()
    client = connect(service)
    _, leg = answered(switch, client)
    uri = switch.uri("instant")
    assert client.error("send_leg_dtmf", id="nobody", digits=DIGITS)[0] == 404
    assert client.error("send_leg_dtmf", id=leg, digits=[DIGITS])[0] == 400
    assert client.error("send_leg_rtt", id=leg, text=TEXT)[0] == 409
    assert client.error("send_leg_rtt", id=leg, text=f"{TEXT}\x07")[0] in (400, 409)
    headers = {"Authorization": HEADER_AUTHORIZATION}
    assert client.error("create_leg", **dial(uri, headers=headers))[0] == 400
    assert client.error("create_leg", **dial(uri, codecs=["none"]))[0] == 400
    assert client.error("create_leg", **dial(uri, headers={"X-Secret": f"{HEADER_SECRET}\r\nX: y"}))[0] == 400
    assert client.error("create_leg", **dial(uri, auth={"username": AUTH_USER, "password": 7}))[0] == 400
    assert client.error("leg_record_start", id=leg, **S3_REQUEST)[0] == 400
    assert client.error(f"no-such-command-{'x' * 500}", text=TEXT)[0] == 400
    client.ws.send('{"type": "send_leg_rtt", "payload": {"text": "%s"' % TEXT)  # noqa: UP031
    client.frame("error")
    busy = client.ok("create_leg", **dial(switch.unreachable()))["id"]
    client.event("leg.disconnected", leg_id=busy, timeout=40)
    check(log)


def _failing(shown: str) -> Callable[..., Any]:
    """A handler with private values in its frames, and with `shown` one of them in its error."""

    def handler(ctx: Any, **payload: Any) -> None:
        copy = dict(payload)  # a local variable, for tracebacks that show them
        value = copy[shown]
        if isinstance(value, dict):
            value = next(iter(value.values()))
        try:
            raise KeyError(value)
        except KeyError as error:
            raise RuntimeError(f"cannot do {value} of {copy}") from error

    return handler


@pytest.mark.parametrize(
    ("name", "shown", "payload"),
    [
        ("send_leg_dtmf", "digits", {"id": "l1", "digits": DIGITS}),
        ("send_leg_rtt", "text", {"id": "l1", "text": TEXT}),
        ("create_leg", "auth", dial("sip:a@example.com")),
        ("create_leg", "headers", dial("sip:a@example.com", headers={"X-Secret": HEADER_SECRET})),
        ("create_leg", "headers", dial("sip:a@example.com", headers={"Authorization": HEADER_AUTHORIZATION})),
        ("create_leg", "webhook_secret", dial("sip:a@example.com")),
        ("leg_record_start", "s3_secret_key", {"id": "l1", **S3_REQUEST}),
    ],
)
def test_a_handler_that_fails(log, start, connect, monkeypatch, name, shown, payload):
    """Its error quotes what is private, as errors of libraries do."""
    client = connect(start())
    broken = replace(registry.load_commands()[name], handler=_failing(shown))
    monkeypatch.setitem(registry._commands, name, broken)
    assert client.error(name, **payload) == (500, "internal error")
    (line,) = log.named("command failed")
    assert line["command"] == name
    assert line["request_id"]
    assert "RuntimeError: cannot do" in line["exception"]
    assert "direct cause" in line["exception"]
    check(log)


@both
def test_an_event_handler_that_fails(log, switch, start, connect, monkeypatch):
    from vsi_esl.translate import _translators

    service = start()
    client = connect(service)
    peer, leg = answered(switch, client, rtt=True)

    def fail(ctx: Any, node: Any, event: dict[str, Any]) -> None:
        body, digit = event.get("_body"), event.get("DTMF-Digit")
        raise ValueError(f"cannot handle {body or digit!r} in {event!r}")

    for kind in ("DTMF", "TEXT"):
        monkeypatch.setitem(_translators, kind, fail)
    peer.dtmf("7")
    eventually(lambda: log.named("event handler failed") != [], "it is logged")
    (line,) = log.named("event handler failed")
    assert "ValueError: cannot handle '[redacted]'" in line["exception"]
    assert client.ok("list_legs")[0]["id"] == leg, "and nothing else happens"
    check(log)


@both
def test_work_that_fails(log, switch, start, connect, monkeypatch):
    service = start()
    client = connect(service)
    _, leg = answered(switch, client)

    def fail(*args: Any) -> None:
        digits = DIGITS  # noqa: F841
        raise KeyError(DIGITS)

    monkeypatch.setattr(type(service.ctx.nodes.default.switch), "send_dtmf", fail)
    assert client.error("send_leg_dtmf", id=leg, digits=DIGITS)[0] == 500
    assert log.named("work failed")
    check(log)


@both
def test_a_switch_that_is_gone(log, switch, start, connect):
    if switch.name != "sandbox":
        pytest.skip("other tests need the switch")
    service = start()
    client = connect(service)
    _, leg = answered(switch, client, rtt=True)
    eventually(lambda: service.ctx.legs.get(leg).rtt_negotiated, "text is agreed on")
    client.ok("create_leg", **dial(switch.uri("ring")))
    late = client.send("send_leg_dtmf", id=leg, digits=DIGITS)
    switch.stop()
    client.reply(late, timeout=30)
    eventually(lambda: not service.ctx.nodes.default.ready, "the loss is noticed")
    assert client.error("send_leg_dtmf", id=leg, digits=DIGITS)[0] in (404, 503)
    assert client.error("send_leg_rtt", id=leg, text=TEXT)[0] in (404, 503)
    assert client.error("create_leg", **dial("sip:a@example.com"))[0] == 503
    eventually(lambda: log.named("switch not available") != [], "it is logged")
    eventually(lambda: log.named("dialling not confirmed") != [], "that is logged as well")
    check(log, service.config.switch.password)


def _mute(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Let the commands with these words get no answer."""
    real = Writer.put

    def put(self: Writer, batch: Sequence[Command], **more: bool) -> None:
        if not any(word.encode() in command.block for command in batch for word in words):
            real(self, batch, **more)

    monkeypatch.setattr(Writer, "put", put)


@both
def test_a_switch_that_does_not_answer(log, switch, start, connect, monkeypatch):
    service: Service = start()
    client = connect(service)
    _, leg = answered(switch, client, rtt=True)
    eventually(lambda: service.ctx.legs.get(leg).rtt_negotiated, "text is agreed on")
    other, two = answered(switch, client)
    for one in (leg, two):
        client.ok("add_leg_to_room", room_id="r", leg_id=one)
        client.event("leg.joined_room", leg_id=one)
    _mute(monkeypatch, "uuid_send_dtmf", "uuid_send_text")
    service.ctx.nodes.default._command_timeout = 0.3
    assert client.error("send_leg_dtmf", id=leg, digits=DIGITS)[0] == 503
    assert client.error("send_leg_rtt", id=leg, text=TEXT)[0] == 503
    other.dtmf("7")  # is passed on to the first, which fails
    eventually(lambda: log.named("digit not passed on") != [], "it is logged")
    check(log, ' 7"')


@both
def test_a_password_is_not_logged_when_the_login_hangs(log, switch, start, monkeypatch):
    with monkeypatch.context() as patch:  # the switch of the run logs in again when the test is over
        _mute(patch, "auth ")
        service = start(wait=False, switch={"connect_timeout": 0.3})
        eventually(lambda: log.named("switch not available") != [], "it is logged")
    check(log, service.config.switch.password)


def test_the_name_of_a_token_is_no_secret(log, start):
    secret = new_token()
    service = start(access={"tokens": (line_of("crm", "control", secret),)})
    client = VsiClient(f"127.0.0.1:{service.http.server.server_port}", f"?token={secret}")
    client.send("stop")
    assert client.closed.wait(20)
    client.close()
    eventually(lambda: log.named("vsi connection closed"), "the line is there")
    (line,) = log.named("vsi connection closed")
    assert line["client"] == "crm"
    assert secret not in log.stream.getvalue()


def _with_everybody_named(switch, service, client) -> None:
    """Calls that go well and calls that do not, with whoever is in them named everywhere."""
    hidden = f"http://{URL_LOGIN}:x@127.0.0.1:1/p?key={URL_KEY}"
    headers = {"X-Customer": PERSON, "Diversion": f"<sip:{CALLED}@example.com>"}
    peer, leg = answered(switch, client, from_=f"+{CALLER}", to=f"+{CALLED}", headers=headers)
    playback = client.ok("leg_play_start", id=leg, url=hidden)["playback_id"]
    client.event("playback.error", playback_id=playback)
    client.ok("leg_transfer", id=leg, target=f"sip:+{CALLED}@127.0.0.1:1")
    client.event("leg.transfer_initiated", leg_id=leg)
    peer.refer(f"sip:+{CALLED}@[::bad")
    peer.refer(f"<tel:+{CALLED}>")
    client.error("leg_transfer", id=leg, target=f"sip:+{CALLED}@ bad {CALLED}")
    from_ = f'"{PERSON}" <sip:+{CALLER}@example.com>'
    for to in (f"sip:+{CALLED}@127.0.0.1:1", f"sips:+{CALLED}@127.0.0.1:1"):
        request = {"type": "sip", "to": to, "from": from_, "webhook_url": hidden}
        dialled = client.send("create_leg", **request)
        frame = client.reply(dialled)
        if leg_id := frame["data"].get("id"):
            client.event("leg.disconnected", leg_id=leg_id, timeout=40)
    for to in (f"+{CALLED}", f"sip:+{CALLED}@", f"sip:{CALLED}@127.0.0.1:99999", f"sip:+{CALLED}@x\r\ny"):
        client.error("create_leg", type="sip", to=to, **{"from": from_})
    client.error("create_leg", type="sip", to=f"sip:{CALLED}@127.0.0.1", trunk=f"of-{CALLED}")
    client.error("create_leg", type="whatsapp", to=f"+{CALLED}", **{"from": f"+{CALLER}"})
    client.error("create_room", id="r", webhook_url=f"nonsense://{URL_LOGIN}@x?key={URL_KEY}")
    stream = f"ws://{URL_LOGIN}:x@127.0.0.1:1/s?key={URL_KEY}"
    failing = client.reply(client.send("create_leg", type="websocket", url=stream))["data"]
    if failing.get("id"):
        client.event("leg.disconnected", leg_id=failing["id"])
    other, ringing = ring(switch, client, from_=f"+{CALLER}", to=CALLED)
    other.hang_up()
    client.event("leg.disconnected", leg_id=ringing)
    peer.hang_up()
    client.rewind()
    client.event("leg.disconnected", leg_id=leg)


@both
@pytest.mark.parametrize("auto_dial", [False, True])
def test_who_called_whom(log, switch, start, connect, auto_dial):
    service = start(
        transfers={"auto_dial": auto_dial, "consult_timeout_ms": 100},
        webhooks={"url": f"http://{URL_LOGIN}:x@127.0.0.1:1/w?key={URL_KEY}", "allow_private_urls": True},
    )
    _with_everybody_named(switch, service, connect(service))
    service.stop()
    assert len(log.named("call")) >= 4
    check(log, CALLER, CALLED, PERSON, PERSON.partition(" ")[0], URL_LOGIN, URL_KEY)


def test_who_called_whom_is_said_when_that_is_set(switch, start, connect):
    with recorded_log(numbers=True) as log:
        service = start()
        client = connect(service)
        _with_everybody_named(switch, service, client)
        service.stop()
        lines = [json.dumps(line, ensure_ascii=False) for line in log.named("call")]
        assert any(CALLER in line and CALLED in line for line in lines)
        check(log, URL_LOGIN, URL_KEY)
