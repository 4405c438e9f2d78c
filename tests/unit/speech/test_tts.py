"""How a speech ends: once, whatever the session says of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from vsi_esl.errors import NotFound, StorageFailed, TooMany, Unavailable
from vsi_esl.live.plan import End, Plan, Speaks
from vsi_esl.live.sessions import Sessions
from vsi_esl.model.leg import Leg
from vsi_esl.model.owner import of_leg, of_room
from vsi_esl.model.room import Room
from vsi_esl.sound.playback.heard import Heard, Kind
from vsi_esl.speech.tts import speaker
from vsi_esl.speech.tts.settings import TtsSettings
from vsi_esl.speech.tts.utterances import Utterance, Utterances

TOLD = {
    "text": "Hello",
    "voice": "v",
    "model": "",
    "language": "",
    "prompt": "",
    "api_key": "k",
}


class Begun:
    """Stands for `Sessions`, and for the one session it has."""

    def __init__(self) -> None:
        self.plan: Plan
        self.fault: Exception | None = None
        self.told: list[tuple[str, Any]] = []
        self.closed = 0

    def begin(self, ctx: Any, plan: Plan) -> Begun:
        if self.fault is not None:
            raise self.fault
        self.plan = plan
        return self

    def tell(self, what: str, value: Any) -> None:
        self.told.append((what, value))

    def close(self) -> None:
        self.closed += 1


class Items(dict):
    """Stands for the state store."""

    full = False

    def save_item(self, kind: str, id: str, body: Any, needed: bool = False) -> None:
        if self.full:
            raise StorageFailed("storage: full")
        self[id] = body

    def forget_item(self, kind: str, id: str) -> None:
        self.pop(id, None)

    def items(self, kind: str) -> list[Any]:  # type: ignore[override]
        return list(self.values())


@pytest.fixture
def ctx(monkeypatch: pytest.MonkeyPatch) -> Any:
    parts: dict[type, Any] = {Sessions: Begun(), Utterances: Utterances()}
    events: list[Any] = []
    account = {"api_key": "k", "base_url": "", "region": ""}
    monkeypatch.setattr(speaker, "for_provider", lambda *_: dict(account))
    return SimpleNamespace(
        config=SimpleNamespace(section=lambda kind: kind()),
        get=parts.__getitem__,
        state=Items(),
        events=events,
        emit=events.append,
        node=lambda one: one.node,
    )


@pytest.fixture
def leg() -> Leg:
    return Leg("l", "sip_inbound", 0.0, app_id="shop")


def begin(ctx: Any, listener: Leg | Room, **more: Any) -> tuple[Utterance, Begun]:
    one = speaker.say(ctx, listener, provider="elevenlabs", volume=0, **{**TOLD, **more})
    return one, ctx.get(Sessions)


def ends(ctx: Any) -> list[tuple[str, Any]]:
    """The events, each with what it says most."""
    return [
        (event.type, getattr(event, "error", None) or getattr(event, "reason", None)) for event in ctx.events
    ]


def test_what_a_session_is_told(ctx, leg):
    one = speaker.say(ctx, leg, provider="elevenlabs", volume=-8, **TOLD)
    plan = ctx.get(Sessions).plan
    assert (plan.kind, plan.task, plan.provider) == ("tts", "tts", "elevenlabs")
    assert (plan.speaks, plan.leg_id, plan.room_id, plan.owner) == (Speaks.TO_LEG, "l", "", of_leg("l"))
    assert plan.parameters["gain"] == pytest.approx(0.0631, rel=0.01)
    assert plan.parameters["text"] == "Hello" and plan.parameters["cache"] is None
    assert "Hello" not in str(ctx.state) and "api_key" not in str(ctx.state)
    assert one.app_id == "shop"


def test_a_cache_that_is_wanted(ctx, leg, tmp_path):
    settings = TtsSettings(
        cache_enabled=True, cache_dir=str(tmp_path), cache_bytes=5, cache_include_api_key=True
    )
    ctx.config.section = lambda kind: settings if kind is TtsSettings else kind()
    begin(ctx, leg)
    cache = ctx.get(Sessions).plan.parameters["cache"]
    assert cache == {"directory": str(tmp_path), "bytes": 5, "with_key": True}


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (End(reason="closed"), ("tts.finished", "stopped")),
        (End(reason="owner"), ("tts.finished", "stopped")),
        (
            End(reason="provider", error="elevenlabs: status 401: ", category="permanent_auth"),
            ("tts.error", "elevenlabs: status 401: "),
        ),
        (End(reason="no_audio"), ("tts.error", "write audio: the switch did not take the audio")),
        (End(reason="worker", error="x"), ("tts.error", "write audio: the media worker ended")),
        (
            End(reason="switch", error="its channels are gone"),
            ("tts.error", "write audio: its channels are gone"),
        ),
        (End(reason="refused", error="no room"), ("tts.error", "write audio: no room")),
        (End(reason="error", error="KeyError"), ("tts.error", "write audio: internal error")),
        (End(reason="done"), ("tts.finished", "completed")),
    ],
)
def test_an_end_is_told_once(ctx, leg, end, told):
    _, session = begin(ctx, leg)
    session.plan.on_closed(end)
    session.plan.on_closed(end)
    assert ends(ctx) == [told]
    assert ctx.events[0].leg_id == "l" and ctx.events[0].room_id is None and ctx.events[0].app_id == "shop"
    assert not ctx.state and not len(ctx.get(Utterances))
    if told[0] == "tts.error":
        assert ctx.events[0].category == (end.category or "playback")


def test_all_of_it(ctx, leg):
    one, session = begin(ctx, leg)
    session.plan.on_report("attached", {})
    session.plan.on_report("started", {})
    session.plan.on_report("started", {})
    session.plan.on_report("finished", {"played_ms": 1234})
    session.plan.on_closed(End(reason="done"))
    assert ends(ctx) == [("tts.started", None), ("tts.finished", "completed")]
    assert ctx.events[1].played_ms == 1234 and ctx.events[1].tts_id == one.id


def test_a_worker_that_does_not_say_how_much_was_heard(ctx, leg, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(speaker.clock, "now", lambda: now)
    _, session = begin(ctx, leg)
    session.plan.on_report("started", {})
    now += 1.5
    session.plan.on_closed(End(reason="closed", error="the media worker did not close it"))
    assert ctx.events[1].played_ms == 1500


def test_what_is_stopped_is_found_no_more_and_has_not_failed(ctx, leg):
    one, session = begin(ctx, leg)
    assert ctx.get(Utterances).find(one.id) is one
    speaker.set_volume(ctx, one, 8)
    speaker.stop(ctx, one)
    assert ctx.get(Utterances).find(one.id) is None
    assert session.closed == 1 and session.told == [("gain", pytest.approx(15.85, rel=0.01))]
    session.plan.on_closed(End(reason="worker"))
    assert ends(ctx) == [("tts.finished", "stopped")]


def test_a_room(ctx):
    _, session = begin(ctx, Room("r", 16000, "room-r"))
    assert (session.plan.speaks, session.plan.room_id, session.plan.owner) == (
        Speaks.TO_ROOM,
        "r",
        of_room("r"),
    )


@pytest.mark.parametrize("fault", [Unavailable("too many sessions of live audio"), RuntimeError()])
def test_one_that_cannot_be_begun_was_never_there(ctx, leg, fault):
    ctx.get(Sessions).fault = fault
    with pytest.raises(type(fault)):
        begin(ctx, leg)
    assert not ctx.state and not len(ctx.get(Utterances)) and not ctx.events


def test_one_that_cannot_be_remembered_is_not_begun(ctx, leg):
    ctx.state.full = True
    with pytest.raises(StorageFailed):
        begin(ctx, leg)
    assert not hasattr(ctx.get(Sessions), "plan") and not len(ctx.get(Utterances))


def test_so_many_for_each(ctx, leg):
    for _ in range(TtsSettings().per_owner):
        begin(ctx, leg)
    with pytest.raises(TooMany, match="the leg is being told 8 texts already"):
        begin(ctx, leg)
    begin(ctx, Leg("other", "sip_inbound", 0.0))
    begin(ctx, Room("l", 16000, "room-l"))


def test_so_many_for_each_also_when_they_are_asked_for_at_once(ctx, leg, monkeypatch):
    """Whoever waits for something meanwhile counts."""
    monkeypatch.setattr(ctx.state, "save_item", lambda *_, **__: gevent.sleep(0))
    asked = [gevent.spawn(begin, ctx, leg) for _ in range(TtsSettings().per_owner + 3)]
    gevent.joinall(asked)
    refused = [one.exception for one in asked if one.exception is not None]
    assert [type(one) for one in refused] == [TooMany] * 3
    assert len(ctx.get(Utterances)) == TtsSettings().per_owner


def test_what_the_process_before_was_saying_has_ended(ctx, leg):
    one, _ = begin(ctx, leg)
    other = Utterance("tts-1", "", "elsewhere", room_id="r")
    ctx.state["tts-1"] = other.saved()
    ctx.get(Utterances).remove(one)
    speaker.readopt(ctx, leg.node)
    speaker.readopt(ctx, leg.node)
    assert ends(ctx) == [("tts.finished", "stopped")]
    assert (ctx.events[0].tts_id, ctx.events[0].played_ms) == (one.id, 0)
    assert list(ctx.state) == ["tts-1"]


def test_what_is_heard_is_of_one_space_of_ids(ctx):
    done: list[Any] = []
    heard = Heard()
    ones = {"a": Utterance("a", "shop", "", leg_id="l"), "b": Utterance("b", "", "", room_id="l")}
    for name in "ab":
        heard.add(
            Kind(
                lambda id, name=name: ones[name] if id == name else None,
                lambda ctx, one: done.append(("stop", one.id)),
                lambda ctx, one, volume: done.append((volume, one.id)),
            )
        )
    heard.stop(ctx, of_leg("l"), "a")
    heard.set_volume(ctx, of_room("l"), "b", 3)
    assert done == [("stop", "a"), (3, "b")]
    assert heard.find("a").app_id == "shop" and heard.find("c") is None
    for owner, id in ((of_room("l"), "a"), (of_leg("l"), "b"), (of_leg("l"), "c")):
        with pytest.raises(NotFound, match="no playback in progress"):
            heard.stop(ctx, owner, id)
        with pytest.raises(NotFound, match="playback not found"):
            heard.set_volume(ctx, owner, id, 0)
