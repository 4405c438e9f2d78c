"""Ten thousand frames and ten thousand events of every kind of wrong: the service still answers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.settings import HttpSettings, SpeechSettings, StateSettings
from vsi_esl.delivery.filters import AppFilter
from vsi_esl.protocol.names import known_commands
from vsi_esl.switch.esl.client import EslClient
from vsi_esl.switch.esl.codec import CodecError, Decoder, decode_event
from vsi_esl.translate import translate
from vsi_esl.web.vsi import VsiSession

EXAMPLES = 10_000
RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "call-events.jsonl").read_text().splitlines()
]
LEG = RECORDED[0]["Unique-ID"]
pytestmark = pytest.mark.timeout(600)  # EXAMPLES inputs each, on whatever machine

many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
)


class Wire:
    """A WebSocket that keeps what is sent."""

    close_reason, close_code = "", 1000

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_text(self, data: bytes) -> None:
        self.sent.append(data)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service(
        Config(
            http=HttpSettings(addr="127.0.0.1:0"),
            state=StateSettings(path=":memory:"),
            speech=SpeechSettings(detection_enabled=True),
        )
    )
    yield service
    service.stop()


@pytest.fixture(scope="module")
def session(service: Service) -> VsiSession:
    return VsiSession(service.ctx, Wire(), service.ctx.bus.subscribe(16, AppFilter("")))  # type: ignore[arg-type]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "id",
    "leg_id",
    "room_id",
    "reason",
    "codec",
    "digits",
    "to",
    "type",
    "headers",
    "role",
    "mute",
    "auth",
)
payloads = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), json_values, max_size=5)
frames = st.one_of(
    st.text(max_size=60),
    st.builds(
        lambda name, request, payload: json.dumps({"type": name, "request_id": request, "payload": payload}),
        st.sampled_from(known_commands()) | st.text(max_size=10),
        st.none() | st.text(max_size=10) | st.integers(),
        payloads | json_values,
    ),
    st.integers(1, 3000).map(lambda depth: '{"type":"get_leg","payload":' + "[" * depth + "]" * depth + "}"),
    st.builds(
        lambda text, cut: text[: cut % (len(text) + 1)],
        st.just('{"type":"create_leg","request_id":"1","payload":{"type":"sip","to":"sip:a@b"}}'),
        st.integers(min_value=0),
    ),
)


@many
@given(frame=frames)
def test_frames(session: VsiSession, frame: str) -> None:
    wire: Wire = session._ws  # type: ignore[assignment]
    wire.sent.clear()
    session._serve(frame)
    for answer in wire.sent:
        data = orjson.loads(answer)
        if data["type"] == "error":
            assert data["data"]["code"] in (400, 404, 409, 501, 503), (frame, data)
    wire.sent.clear()
    session._serve('{"type":"list_legs","request_id":"alive"}')
    assert orjson.loads(wire.sent[0])["request_id"] == "alive"


def broken(seed: int) -> bytes:
    """A recorded event, damaged: members gone, of other types, oversized, or the bytes cut or flipped."""
    generator = random.Random(seed)
    event = dict(generator.choice(RECORDED))
    names = list(event)
    for _ in range(generator.randint(0, 12)):
        name = generator.choice(names)
        event[name] = generator.choice(
            ["", None, 5, [], ["a", 1], {"x": []}, "x" * 5000, "\u0000", "-1", "1e309", "ARRAY::"]
        )
        if generator.random() < 0.4:
            event.pop(name, None)
    body = bytearray(orjson.dumps(event))
    for _ in range(generator.choice([0, 0, 0, 1, 5])):
        body[generator.randrange(len(body))] = generator.randrange(256)
    if generator.random() < 0.1:
        del body[generator.randrange(len(body)) :]
    return bytes(body)


@many
@given(seed=st.integers(min_value=0, max_value=1 << 60))
def test_events(service: Service, seed: int) -> None:
    handled: list[dict] = []
    translated: list[dict] = []

    def handle(event: dict) -> None:
        handled.append(event)
        translate(service.ctx, service.ctx.nodes.default, event)
        translated.append(event)

    client = EslClient("127.0.0.1", 1, "x", on_event=handle)
    decoder = Decoder()
    body = broken(seed)
    good = orjson.dumps({"Event-Name": "PROBE"})
    for one in (body, good):
        decoder.feed(b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(one) + one)
    try:
        decode_event(body)
    except CodecError:
        with pytest.raises(CodecError):  # which ends the connection
            client.handle_event(decoder.next_frame())
        assert not handled
        return
    while (frame := decoder.next_frame()) is not None:
        client.handle_event(frame)
    assert handled[-1] == {"Event-Name": "PROBE"}
    assert translated[-1] == handled[-1]  # a translation that fails is survived, and would not be seen here


def test_recorded_call_gives_its_events_after_all_that(service: Service) -> None:
    for leg in service.ctx.legs.everyone():
        service.ctx.legs.remove(leg)
    bus = service.ctx.bus.subscribe(100, AppFilter(""))
    for event in RECORDED:
        translate(service.ctx, service.ctx.nodes.default, event)
    _, frames_out = bus.take(100)
    kinds = [orjson.loads(frame)["type"] for frame in frames_out]
    assert kinds[0] == "leg.ringing"
    assert kinds[-1] == "leg.disconnected"
    assert kinds.count("leg.connected") == 1
