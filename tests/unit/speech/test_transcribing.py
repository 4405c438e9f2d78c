"""What becomes of transcriptions: of their sessions, their legs and rooms, and the service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.fakes import FakeService, settle
from tests.support.livesessions import FakeSession, FakeSessions
from tests.support.log import recorded_log
from vsi_esl.config import Config
from vsi_esl.config.providers import ProviderSettings
from vsi_esl.errors import NotSupported, StorageFailed, SwitchUnavailable, Unavailable, VsiError
from vsi_esl.model.owner import of_leg, of_room
from vsi_esl.protocol import registry
from vsi_esl.speech.stt import feature, transcribing
from vsi_esl.speech.stt.transcribing import KIND, Transcriptions

KEYS = ProviderSettings(elevenlabs_key="ours", deepgram_key="ours", openai_stt_url="http://here/v1")


class Stt:
    """The feature in a service."""

    def __init__(self) -> None:
        self.service = FakeService(replace(Config(), providers=KEYS))
        self.ctx = self.service.ctx
        self.sessions = FakeSessions(self.ctx)
        feature.register(self.ctx)

    def run(self, command: str, **payload: object) -> object:
        return registry.load_commands()[command].handler(
            self.ctx, **registry.schemas.load(registry.load_commands()[command].schema, payload)
        )

    def refused(self, command: str, **payload: object) -> tuple[int, str]:
        with pytest.raises(VsiError) as error:
            self.run(command, **payload)
        return error.value.code, error.value.message

    @property
    def last(self) -> FakeSession:
        return self.sessions.begun[-1]

    def kept(self) -> list[dict]:
        return self.ctx.state.items(KIND)

    def again(self, owner: str, leg: str) -> None:
        """The pause before another try is over."""
        self.service.timers.fire(owner, leg)
        settle()


@pytest.fixture
def stt() -> Iterator[Stt]:
    one = Stt()
    yield one
    one.service.close()


def test_a_leg_says_something(stt):
    stt.service.leg("a", app_id="shop")
    answer = stt.run("leg_stt_start", id="a", language="de", partial=True, model="m", keyterms=["Ada"])
    assert answer == {"status": "stt_started", "leg_id": "a"}
    plan = stt.last.plan
    assert (plan.kind, plan.provider, plan.leg_id, plan.owner) == ("stt", "elevenlabs", "a", of_leg("a"))
    assert plan.parameters == {
        "provider": "elevenlabs",
        "api_key": "ours",
        "base_url": "",
        "region": "",
        "language": "de",
        "partial": True,
        "model": "m",
        "keyterms": ["Ada"],
    }
    stt.last.report("attached")
    stt.last.report("text", text="hel", final=False)
    stt.last.report("text", text="hello", final=True)
    texts = [
        {name: value for name, value in one.items() if name not in ("event_id", "timestamp", "instance_id")}
        for one in stt.service.told("stt.text")
    ]
    assert texts == [
        {"type": "stt.text", "leg_id": "a", "app_id": "shop", "text": "hel", "is_final": False},
        {"type": "stt.text", "leg_id": "a", "app_id": "shop", "text": "hello", "is_final": True},
    ]
    assert stt.run("leg_stt_stop", id="a") == {"status": "stt_stopped"}
    assert stt.last.graces == [2.0]
    stt.last.report("text", text="bye", final=True)
    assert stt.service.told("stt.text")[-1]["text"] == "bye"
    stt.last.end("closed")
    assert stt.refused("leg_stt_stop", id="a") == (404, "no STT in progress")
    assert not stt.service.told("stt.error") and not stt.kept()


def test_what_is_checked_and_in_which_order(stt):
    assert stt.refused("leg_stt_start", id="x", provider="nobody") == (
        400,
        "invalid provider: must be azure, deepgram, elevenlabs, local, or openai",
    )
    assert stt.refused("leg_stt_start", id="x", provider="azure") == (503, "no azure API key provided")
    assert stt.refused("leg_stt_start", id="x", provider="azure", api_key="k") == (404, "leg not found")
    assert stt.refused("room_stt_start", id="x") == (404, "room not found")
    stt.service.leg("early", state="early_media")
    stt.service.leg("held", held_by_us=True)
    for leg in ("early", "held"):
        assert stt.refused("leg_stt_start", id=leg) == (409, "leg not connected")
    room = stt.service.room("r")
    assert stt.refused("room_stt_start", id=room.id) == (409, "room has no participants")
    stt.service.leg("a")
    stt.run("leg_stt_start", id="a", provider="deepgram")
    assert stt.refused("leg_stt_start", id="a") == (409, "STT already running on this leg")
    assert stt.refused("room_stt_stop", id="a") == (404, "no STT in progress")


@pytest.mark.parametrize(
    ("error", "code"), [(NotSupported("no module"), 501), (Unavailable("too many"), 503)]
)
def test_what_cannot_be_begun_is_not_there(stt, error, code):
    legs = [stt.service.leg(name) for name in "ab"]
    stt.service.room("r", *legs)
    stt.run("leg_stt_start", id="a")
    stt.sessions.refusal = error
    assert stt.refused("leg_stt_start", id="b")[0] == code
    assert stt.refused("room_stt_start", id="r")[0] == code
    stt.sessions.refusal = None
    assert len(stt.ctx.get(Transcriptions)) == 1
    assert stt.run("room_stt_start", id="r") == {
        "status": "stt_started",
        "room_id": "r",
        "leg_ids": ["a", "b"],
    }


def test_what_the_disk_does_not_take_has_not_begun(stt, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise StorageFailed("disk full")

    stt.service.leg("a")
    monkeypatch.setattr(stt.ctx.state, "save_item", fails)
    assert stt.refused("leg_stt_start", id="a") == (503, "disk full")
    assert stt.last.graces == [0.0]
    assert len(stt.ctx.get(Transcriptions)) == 0
    stt.last.end("closed")


def test_a_room_names_each_leg_also_those_that_come_later(stt):
    legs = [stt.service.leg(name, app_id=f"app-{name}") for name in "ab"]
    room = stt.service.room("r", *legs)
    stt.run("room_stt_start", id="r", provider="deepgram")
    late = stt.service.leg("c")
    stt.service.switch.moved(late.id, room.conference)
    settle()
    assert [session.plan.leg_id for session in stt.sessions.begun] == ["a", "b", "c"]
    for session in stt.sessions.begun:
        session.report("text", text=f"it is {session.plan.leg_id}", final=True)
    assert [(one["leg_id"], one["room_id"], one["text"]) for one in stt.service.told("stt.text")] == [
        (name, "r", f"it is {name}") for name in "abc"
    ]
    assert [one.get("app_id") for one in stt.service.told("stt.text")] == ["app-a", "app-b", None]
    assert stt.kept()[0]["legs"] == ["a", "b", "c"]
    stt.run("room_stt_stop", id="r")
    assert all(session.graces == [2.0] for session in stt.sessions.begun)


def test_a_leg_that_leaves_the_room_is_heard_no_more_and_again_when_it_is_back(stt):
    leg = stt.service.leg("a")
    room = stt.service.room("r", leg)
    stt.run("room_stt_start", id="r")
    first = stt.last
    stt.service.switch.moved("a", "")
    settle()
    assert first.graces == [2.0]
    # as in the reference it is the room's until it ends: there is something to stop
    assert stt.ctx.get(Transcriptions).find(of_room("r")) is not None
    stt.service.switch.moved("a", room.conference)
    settle()
    assert len(stt.sessions.begun) == 2
    first.end("closed")
    stt.last.report("text", text="back", final=True)
    assert stt.service.told("stt.text", text="back")
    stt.service.switch.moved("a", "")
    settle()
    stt.last.end("closed")
    stt.service.hangs_up("a")
    assert len(stt.ctx.get(Transcriptions)) == 0
    assert not stt.kept()
    assert stt.refused("room_stt_stop", id="r") == (404, "no STT in progress")
    assert not stt.service.told("stt.error")


def test_the_end_of_a_leg_is_the_end_of_its_transcription(stt):
    legs = [stt.service.leg(name) for name in "ab"]
    stt.service.room("r", *legs)
    stt.run("room_stt_start", id="r")
    stt.run("leg_stt_start", id="a")
    for leg in "ab":
        stt.service.hangs_up(leg)
        for session in stt.sessions.begun:
            if session.plan.leg_id == leg:
                session.end("owner")
    assert len(stt.ctx.get(Transcriptions)) == 0
    assert not stt.kept()
    assert not stt.service.told("stt.error")


def test_a_leg_that_hangs_up_in_its_room_leaves_it_first(stt):
    """Its session may be over before the end of the leg is told, or only then."""
    legs = [stt.service.leg(name) for name in "ab"]
    stt.service.room("r", *legs)
    stt.run("room_stt_start", id="r")
    one, two = stt.sessions.begun
    stt.service.switch.moved("a", "")
    settle()
    one.end("closed")
    stt.service.hangs_up("a")
    assert stt.kept()[0]["legs"] == ["b"]
    stt.service.hangs_up("b")
    assert two.graces == [2.0]
    two.end("closed")
    assert not stt.kept()
    assert len(stt.ctx.get(Transcriptions)) == 0
    assert not stt.service.told("stt.error")


def test_a_room_that_is_deleted(stt):
    leg = stt.service.leg("a")
    room = stt.service.room("r", leg)
    stt.run("room_stt_start", id="r")
    stt.last.done.set(None)
    stt.ctx.moments.room_deleting(stt.ctx, room)
    assert stt.last.graces == [2.0]
    assert len(stt.ctx.get(Transcriptions)) == 0
    assert not stt.kept()


def test_a_provider_that_fails_is_told_once_and_nothing_private_with_it(stt):
    stt.service.leg("a", app_id="shop")
    stt.run("leg_stt_start", id="a", api_key="sesame")
    with recorded_log() as log:
        stt.last.report("text", text="a secret word", final=True)
        stt.last.end("provider", error="elevenlabs: reported auth_error", category="permanent_auth")
        settle()
    (failed,) = stt.service.told("stt.error")
    assert (failed["leg_id"], failed["app_id"], failed["error"], failed["category"]) == (
        "a",
        "shop",
        "elevenlabs: reported auth_error",
        "permanent_auth",
    )
    assert "room_id" not in failed
    (line,) = log.named("transcription failed")
    assert (line["leg_id"], line["provider"]) == ("a", "elevenlabs")
    above_debug = [one for one in log.lines if one["level"] != "debug"]
    assert "sesame" not in str(above_debug) and "secret word" not in str(above_debug)
    assert stt.refused("leg_stt_stop", id="a") == (404, "no STT in progress")
    assert not stt.kept()


def test_a_room_goes_on_without_a_leg_that_failed(stt):
    legs = [stt.service.leg(name) for name in "ab"]
    stt.service.room("r", *legs)
    stt.run("room_stt_start", id="r")
    one, two = stt.sessions.begun
    one.end("no_audio")
    (failed,) = stt.service.told("stt.error")
    assert (failed["leg_id"], failed["room_id"], failed["error"]) == ("a", "r", "no_audio")
    assert "category" not in failed
    assert stt.kept()[0]["legs"] == ["b"]
    two.end("error", error="KeyError")
    assert len(stt.service.told("stt.error")) == 2
    assert not stt.kept()
    assert stt.refused("room_stt_stop", id="r")[0] == 404


@pytest.mark.parametrize("reason", ["worker", "switch", "done"])
def test_what_is_lost_on_this_machine_is_begun_again_but_not_for_ever(stt, reason):
    stt.service.leg("a")
    stt.run("leg_stt_start", id="a")
    for number in range(3):
        stt.last.end(reason)
        assert len(stt.sessions.begun) == number + 1
        stt.again("leg a", "a")
        assert len(stt.sessions.begun) == number + 2
        assert not stt.service.told("stt.error")
    stt.last.end(reason)
    (failed,) = stt.service.told("stt.error")
    assert failed["error"] == "the audio of the leg ended"
    assert len(stt.ctx.get(Transcriptions)) == 0


def test_what_has_run_for_long_may_be_lost_again(stt, monkeypatch):
    monkeypatch.setattr(transcribing, "STEADY_S", -1.0)
    stt.service.leg("a")
    stt.run("leg_stt_start", id="a")
    for _ in range(6):
        stt.last.end("worker")
        stt.again("leg a", "a")
    assert len(stt.sessions.begun) == 7
    assert not stt.service.told("stt.error")


def test_what_cannot_be_begun_again_is_told(stt):
    stt.service.leg("a")
    stt.run("leg_stt_start", id="a")
    stt.sessions.refusal = Unavailable("no media worker")
    stt.last.end("worker", error="the media worker died")
    for _ in range(3):
        stt.again("leg a", "a")
    (failed,) = stt.service.told("stt.error")
    assert failed["error"] == "no media worker"


def test_stop_while_it_is_to_be_begun_again(stt):
    stt.service.leg("a")
    stt.run("leg_stt_start", id="a")
    stt.last.end("worker")
    stt.run("leg_stt_stop", id="a")
    assert not stt.service.timers.pending("leg a", "a")
    settle()
    assert len(stt.sessions.begun) == 1


def test_a_switch_that_was_away(stt):
    stt.service.leg("a")
    stt.run("leg_stt_start", id="a")
    stt.last.end("switch")
    stt.sessions.refusal = SwitchUnavailable("away")
    stt.again("leg a", "a")
    stt.sessions.refusal = None
    assert len(stt.sessions.begun) == 1
    stt.service.reconnects()
    assert len(stt.sessions.begun) == 2
    stt.service.reconnects()
    assert len(stt.sessions.begun) == 2, "it runs"


def test_the_end_of_the_service_is_not_theirs(stt):
    """The next process begins them again."""
    legs = [stt.service.leg(name) for name in "abc"]
    stt.service.room("r", *legs[:2])
    stt.run("room_stt_start", id="r", provider="openai", language="de", partial=True, keyterms=["Ada"])
    stt.run("leg_stt_start", id="c", api_key="theirs", model="m")
    for session in stt.sessions.begun:
        session.end("closed")
    kept = stt.kept()
    assert len(kept) == 2
    next_one = Stt()
    try:
        for body in kept:
            owner = " ".join(body["owner"])
            next_one.ctx.state.save_item(KIND, owner, body)
        next_one.ctx.moments.restore(next_one.ctx)
        assert not next_one.sessions.begun
        again = [next_one.service.leg(name) for name in ("a", "c", "d")]
        next_one.service.room("r", again[0], again[2])  # b has hung up, d has joined
        next_one.service.reconnects()
        begun = {session.plan.leg_id: session.plan.parameters for session in next_one.sessions.begun}
        assert set(begun) == {"a", "c", "d"}
        assert (
            begun["a"]
            == begun["d"]
            == {
                "provider": "openai",
                "api_key": "",
                "base_url": "http://here/v1",
                "region": "",
                "language": "de",
                "partial": True,
                "model": "",
                "keyterms": ["Ada"],
                "api": "realtime",
            }
        )
        assert (begun["c"]["api_key"], begun["c"]["model"]) == ("theirs", "m")
        assert {tuple(one["legs"]) for one in next_one.kept()} == {("a", "d"), ("c",)}
    finally:
        next_one.service.close()


def test_another_switch_says_nothing_of_them(stt):
    stt.service.leg("a")
    stt.run("leg_stt_start", id="a")
    stt.last.end("switch")
    stt.service.timers.cancel("leg a")
    transcribing.readopt(stt.ctx, stt.service.other)
    settle()
    assert len(stt.sessions.begun) == 1
    transcribing.readopt(stt.ctx, stt.service.switch)
    settle()
    assert len(stt.sessions.begun) == 2
