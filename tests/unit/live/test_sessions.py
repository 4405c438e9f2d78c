"""Sessions between a media worker and a switch, both made up."""

from __future__ import annotations

import json
import re
from functools import partial
from types import SimpleNamespace

import gevent
import pytest
from gevent.event import Event as Signal

from tests.support.fakes import FakeService, settle, until
from vsi_esl.errors import Internal, NotSupported, SwitchUnavailable
from vsi_esl.live import attaching, feature, sessions
from vsi_esl.live.plan import End, Hears, Plan, Speaks
from vsi_esl.live.pool import Pool
from vsi_esl.live.sessions import Sessions
from vsi_esl.media.messages import FORK, UNICAST, Close, Closed, Ear, Mouth, Open, Opened, Renew, Report, Tell
from vsi_esl.model.leg import EARLY_MEDIA, RINGING
from vsi_esl.model.owner import of_leg, of_room

URL = "ws://127.0.0.1:9/fork/token"


class ScriptedWorker:
    """Remembers what it is sent, and says what a test says."""

    def __init__(self, heard, gone):
        self._heard, self._gone = heard, gone
        self.sessions, self.told = set(), []
        self.ready, self.figures, self.pid = True, {}, 1

    def send(self, message):
        self.told.append(message)

    def says(self, message):
        self._heard(self, message)

    def dies(self):
        self._gone(self, "it has ended")

    def stop(self):
        self.sessions.clear()

    def all(self, kind):
        return [one for one in self.told if isinstance(one, kind)]


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(attaching, "CONNECTED_BY_S", 0.01)
    monkeypatch.setattr(sessions, "OWNER_GRACE_S", 0.01)
    service = FakeService()
    service.switch.facts.forks = True
    feature.register(service.ctx)
    all_of_them = service.ctx.get(Sessions)
    all_of_them.pool = Pool(1, all_of_them._heard, all_of_them._lost, ScriptedWorker)
    yield service
    service.close()


class Begun:
    """A session, and all that was told of it."""

    def __init__(self, service, **plan):
        self.told, self.ends = [], []
        self._service = service
        owner = of_leg(plan["leg_id"]) if "leg_id" in plan else of_room(plan.get("room_id", ""))
        members = {"kind": "test", "task": "echo", "owner": owner, **plan}
        callbacks = {"on_report": lambda *what: self.told.append(what), "on_closed": self.ends.append}
        self.session = service.ctx.get(Sessions).begin(service.ctx, Plan(**members, **callbacks))
        self.worker = self.session.worker
        self.id = self.session.id

    def opened(self, **where):
        self.worker.says(Opened(session=self.id, **{"url": URL, "port": 7001, "mouth_port": 7002, **where}))
        settle()
        return self

    def attached(self):
        self.opened()
        self.worker.says(Report(session=self.id, what="attached"))
        return self

    def closed(self, reason="closed", **more):
        self.worker.says(Closed(session=self.id, reason=reason, **more))
        settle()

    @property
    def reasons(self):
        return [end.reason for end in self.ends]


FORKED = {"leg_id": "a", "hears": Hears.LEG}


def test_what_each_plan_takes(service):
    """Of the worker and of the switch."""
    service.leg("a")
    service.room("r", sample_rate=8000)
    fork, ear, mouth = Ear(kind=FORK, rate=16000), Ear(kind=UNICAST, rate=8000), Mouth(rate=8000)
    apart = Mouth(rate=8000, apart=True)
    for hears, speaks, forks, wanted in (
        (Hears.LEG, Speaks.TO_NOBODY, True, (fork, None)),
        (Hears.LEG, Speaks.TO_LEG, True, (fork, mouth)),
        (Hears.LEG, Speaks.TO_ROOM, True, (fork, mouth)),
        (Hears.LEG, Speaks.TO_NOBODY, False, (ear, None)),
        (Hears.LEG, Speaks.TO_LEG, False, (ear, apart)),
        (Hears.LEG, Speaks.TO_ROOM, False, (ear, apart)),
        (Hears.ROOM, Speaks.TO_NOBODY, True, (ear, None)),
        (Hears.ROOM, Speaks.TO_ROOM, True, (ear, mouth)),
        (Hears.ROOM, Speaks.TO_LEG, True, (ear, apart)),
        (Hears.NOBODY, Speaks.TO_LEG, True, (None, mouth)),
        (Hears.NOBODY, Speaks.TO_ROOM, True, (None, mouth)),
    ):
        service.switch.facts.forks = forks
        del service.switch.told[:]
        begun = Begun(service, leg_id="a", room_id="r", hears=hears, speaks=speaks)
        told = begun.worker.all(Open)[-1]
        assert (told.ear, told.mouth) == wanted, (hears, speaks, forks)
        begun.attached()
        assert bool(service.switch.heard("uuid_audio_fork")) is (wanted[0] == fork)
        pairs = service.switch.heard("originate")
        rooms = [line for line in pairs if "conference:" in line]
        assert len(rooms) == (Hears.ROOM in (hears,) or speaks is Speaks.TO_ROOM)
        for line in rooms:
            flags = re.findall(r"flags{(.*?)}", line)  # a conference's name may have "deaf" in it
            assert any("mute" in one for one in flags) is (speaks is not Speaks.TO_ROOM), line
            assert any("deaf" in one for one in flags) is (hears is not Hears.ROOM), line
        assert len([line for line in pairs if "eavesdrop_whisper_bleg=true" in line]) == (
            speaks is Speaks.TO_LEG
        )
        ports = {line.rpartition(" udp")[0].rpartition(" ")[2] for line in service.switch.heard("sendmsg")}
        both = wanted[1] is not None and wanted[1].apart
        assert ports == ({"7001", "7002"} if both else {"7001"} if pairs else set())
        begun.session.close()
        begun.closed()
        assert begun.reasons == ["closed"]
        assert len(service.switch.heard("uuid_kill lv-")) == len(pairs)


def test_its_life(service):
    service.leg("a")
    begun = Begun(service, **FORKED, speaks=Speaks.TO_LEG, parameters={"x": 1}).attached()
    assert service.ctx.state.items("live") == [{"bug": begun.id, "leg_id": "a", "node": "default"}]
    assert service.switch.heard("uuid_audio_fork") == [f"uuid_audio_fork a start {URL} mono 16000 {begun.id}"]
    begun.session.tell("gain", 0.5)
    assert begun.worker.all(Tell) == [Tell(session=begun.id, what="gain", value=0.5)]
    begun.worker.says(Report(session=begun.id, what="text", data={"text": "x"}))
    assert begun.told == [("attached", {}), ("text", {"text": "x"})]
    begun.session.close(1.5)
    begun.worker.says(Report(session=begun.id, what="detached"))
    assert len(begun.told) == 2, "it is the switch's part"
    begun.session.close(9.0)
    assert begun.worker.all(Close) == [Close(session=begun.id, grace_s=1.5)]
    assert service.switch.heard("uuid_audio_fork a stop") and service.switch.heard("uuid_kill lv-")
    assert not begun.ends and len(service.ctx.get(Sessions)) == 1
    begun.closed(figures={"first_audio_ms": 120.0}, error="x", category="y")
    wanted = End(reason="closed", error="x", category="y", figures={"first_audio_ms": 120.0})
    assert begun.ends == [wanted]
    assert len(service.ctx.get(Sessions)) == 0 and not begun.worker.sessions
    assert not service.ctx.state.items("live")
    begun.session.tell("gain", 1)
    begun.session.close()
    assert len(begun.worker.all(Tell)) == 1
    metrics = service.ctx.metrics.render()[0].decode()
    assert 'vsi_esl_live_first_audio_seconds_sum{kind="test",provider=""} 0.12' in metrics


@pytest.mark.parametrize("reason", ["done", "no_audio", "provider", "error"])
def test_an_end_that_is_the_workers(service, reason):
    service.leg("a")
    begun = Begun(service, **FORKED).attached()
    begun.closed(reason)
    assert begun.reasons == [reason]
    assert service.switch.heard("uuid_audio_fork a stop")


def test_a_fork_is_not_stopped_before_it_has_connected(service, monkeypatch):
    """It would connect all the same, and stay."""
    monkeypatch.setattr(attaching, "CONNECTED_BY_S", 3600)
    service.leg("a")
    begun = Begun(service, **FORKED).opened()
    begun.session.close()
    settle()
    assert not service.switch.heard("uuid_audio_fork a stop")
    begun.worker.says(Report(session=begun.id, what="attached"))
    settle()
    assert service.switch.heard("uuid_audio_fork a stop")


def test_a_fork_that_never_connects_is_stopped_in_time(service):
    service.leg("a")
    begun = Begun(service, **FORKED).opened()
    begun.session.close()
    begun.closed()
    until(lambda: service.switch.heard("uuid_audio_fork a stop"), "it is stopped")
    assert not service.ctx.state.items("live")


def test_it_is_closed_before_the_worker_has_opened_it(service):
    service.leg("a")
    begun = Begun(service, **FORKED, speaks=Speaks.TO_LEG)
    begun.session.close()
    begun.opened()
    begun.closed()
    assert begun.reasons == ["closed"]
    assert not service.switch.heard("uuid_audio_fork") and not service.switch.heard("originate")


def test_it_is_closed_while_its_pair_is_made(service):
    service.leg("a")
    made = service.switch.late("originate")
    begun = Begun(service, leg_id="a", speaks=Speaks.TO_LEG).opened()
    begun.session.close()
    begun.closed()
    made.set()
    settle()
    assert service.switch.heard("uuid_kill lv-")
    assert begun.reasons == ["closed"] and not service.switch.heard("sendmsg")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (("uuid_audio_fork", "-ERR Operation Failed"), "refused"),
        (("uuid_audio_fork", SwitchUnavailable("away")), "switch"),
        (("originate", "-ERR DESTINATION_OUT_OF_ORDER"), "refused"),
        (("sendmsg", "-ERR invalid session id"), "refused"),
    ],
)
def test_what_the_switch_refuses(service, answers, reason):
    service.leg("a")
    service.switch.answers(*answers)
    begun = Begun(service, **FORKED, speaks=Speaks.TO_LEG).opened()
    until(lambda: begun.ends, "it is over")
    assert begun.reasons == [reason] and begun.ends[0].error
    assert begun.worker.all(Close), "the worker is told"
    assert not begun.worker.sessions


def test_a_fork_of_a_leg_that_has_just_hung_up(service):
    service.leg("a", there=False)
    service.switch.answers("uuid_audio_fork", "-ERR Operation Failed")
    begun = Begun(service, **FORKED).opened()
    assert begun.reasons == ["owner"]


def test_the_end_of_a_leg_comes_after_the_last_words(service):
    service.leg("a")
    own = Begun(service, **FORKED, last_words_s=2.0).attached()
    rooms = Begun(service, **FORKED, owner=of_room("r"), last_words_s=2.0).attached()
    service.hangs_up("a")
    assert [one.grace_s for one in own.worker.all(Close)] == [2.0, 2.0]
    assert not service.told("leg.disconnected")
    assert not service.switch.heard("uuid_audio_fork a stop"), "the leg is gone"
    own.worker.says(Report(session=own.id, what="text", data={}))
    own.closed()
    assert own.reasons == ["owner"] and own.told[-1] == ("text", {})
    service.wait_for("leg.disconnected")
    rooms.closed()
    assert rooms.reasons == ["owner"]


def test_audio_that_ends_with_its_leg(service, monkeypatch):
    """The worker sees that first, and then is done: what counts is why."""
    for late, reason in ((False, "owner"), (True, "switch")):
        monkeypatch.setattr(sessions, "OWNER_GRACE_S", 0.01 if late else 3600)
        service.leg("a")
        begun = Begun(service, **FORKED).attached()
        begun.worker.says(Report(session=begun.id, what="detached"))
        begun.worker.says(Closed(session=begun.id, reason="done", figures={"x": 1.0}))
        if late:
            until(lambda: begun.ends, "its leg was waited for")  # noqa: B023
        assert begun.reasons == ([reason] if late else [])
        service.hangs_up("a")
        until(lambda: begun.ends, "it is over")  # noqa: B023
        assert begun.reasons == [reason] and begun.ends[0].figures == {"x": 1.0}


def test_a_pair_that_ends(service):
    service.room("r")
    begun = Begun(service, room_id="r", hears=Hears.ROOM).attached()
    service.happens("CHANNEL_HANGUP_COMPLETE", begun.session.channels[0])
    until(lambda: begun.worker.all(Close), "it is closed")
    begun.closed()
    assert begun.reasons == ["switch"]


def test_the_worker_dies(service):
    service.leg("a")
    begun = [Begun(service, **FORKED).attached(), Begun(service, **FORKED)]
    closing = Begun(service, **FORKED).attached()
    closing.session.close()
    begun[0].worker.dies()
    settle()
    assert [one.reasons for one in (*begun, closing)] == [["worker"], ["worker"], ["closed"]]
    until(lambda: len(service.switch.heard("uuid_audio_fork a stop")) == 2, "the forks that there were")
    assert len(service.ctx.get(Sessions)) == 0


def test_a_worker_that_does_not_close(service, monkeypatch):
    monkeypatch.setattr(sessions, "CLOSE_TIMEOUT_S", 0.01)
    service.leg("a")
    begun = Begun(service, **FORKED).attached()
    begun.session.close()
    until(lambda: begun.ends, "it is over all the same")
    assert begun.reasons == ["closed"]
    begun.closed("done")
    assert begun.reasons == ["closed"]


def test_a_worker_that_does_not_open(service, monkeypatch):
    monkeypatch.setattr(sessions, "OPEN_TIMEOUT_S", 0.01)
    service.leg("a")
    begun = Begun(service, **FORKED)
    until(lambda: begun.ends, "it is over")
    assert begun.reasons == ["refused"]


def test_what_there_is_no_way_for(service):
    service.leg("a")
    service.switch.facts.forks = False

    def lacking(*modules):
        if "mod_loopback" in modules:
            raise NotSupported("no mod_loopback")

    service.switch.require = lacking
    with pytest.raises(NotSupported):
        Begun(service, **FORKED)
    service.switch.facts.forks = True
    Begun(service, **FORKED)
    service.switch.away = True
    with pytest.raises(SwitchUnavailable):
        Begun(service, **FORKED)


def test_early_media_is_opened_for_a_whisper(service):
    leg = service.leg("a", state=EARLY_MEDIA)
    Begun(service, leg_id="a", speaks=Speaks.TO_LEG).attached()
    assert leg.sends_silence and "silence_stream" in service.switch.heard("uuid_transfer a")[0]
    Begun(service, leg_id="a", speaks=Speaks.TO_LEG).attached()
    assert len(service.switch.heard("uuid_transfer a")) == 1


def test_recordings_are_told_of_a_whisper(service):
    whispered = []
    service.ctx.moments.whispered.subscribe(lambda ctx, leg: whispered.append(leg.id))
    service.leg("a")
    Begun(service, leg_id="a", speaks=Speaks.TO_LEG).attached()
    Begun(service, **FORKED).attached()
    assert whispered == ["a"]


@pytest.mark.parametrize("comes", [True, False])
def test_one_whose_audio_does_not_come_back_is_attached_once_more(service, monkeypatch, comes):
    """As the switch may forget a fork that it said yes to; the worker ends what stays without audio."""
    monkeypatch.setattr(sessions, "AGAIN_S", 0.01)
    leg = service.leg("a")
    begun = Begun(service, **FORKED).attached()
    leg.channel.rate = 16000
    service.ctx.moments.rate_changed(service.ctx, leg)
    for number in range(1, 2 + (not comes) * sessions.MOST_AGAIN):
        until(lambda: len(begun.worker.all(Renew)) == number, f"it is renewed: {number}")  # noqa: B023
        begun.worker.says(Opened(session=begun.id, url=f"{URL}{number}", port=7001, mouth_port=7002))
        if comes:  # in one breath: it is waited for no longer than for AGAIN_S
            begun.worker.says(Report(session=begun.id, what="renewed"))
        settle()
    gevent.sleep(0.05)
    assert begun.session.renewals == (1 if comes else 1 + sessions.MOST_AGAIN)
    assert not begun.ends


@pytest.mark.parametrize("before", [True, False])
def test_one_that_the_switch_drops_while_it_changes_the_codec_is_attached_once_more(service, before):
    """Before or after the switch's answer to the command; later than that its audio has ended."""
    leg = service.leg("a")
    begun = Begun(service, **FORKED).attached()
    leg.channel.rate = 16000
    service.ctx.moments.rate_changed(service.ctx, leg)
    if not before:
        begun.opened()
    begun.worker.says(Report(session=begun.id, what="detached"))
    begun.opened()
    until(lambda: begun.session.renewals == 2, "it is renewed")
    assert not begun.session.reason
    begun.opened()
    begun.session.renewed_at -= 2 * sessions.AGAIN_S
    begun.worker.says(Report(session=begun.id, what="detached"))
    assert begun.session.reason == "switch"


def test_one_whose_fork_is_dropped_before_the_other_codec_is_known_is_attached_anew(service, monkeypatch):
    """What ended it becomes known in time."""
    monkeypatch.setattr(sessions, "OWNER_GRACE_S", 0.05)
    leg = service.leg("a")
    begun = Begun(service, **FORKED).attached()
    begun.worker.says(Report(session=begun.id, what="detached"))
    leg.channel.rate = 16000
    service.ctx.moments.rate_changed(service.ctx, leg)
    assert [one.session for one in begun.worker.all(Renew)] == [begun.id]
    begun.opened(url=f"{URL}2")
    begun.worker.says(Report(session=begun.id, what="renewed"))
    gevent.sleep(0.1)
    assert (begun.ends, begun.session.over, begun.session.reason) == ([], False, "")


def test_a_leg_that_agrees_on_another_rate(service):
    """Its ways are made anew, when those under way are done; the task goes on."""
    leg = service.leg("a")
    begun = Begun(service, **FORKED, speaks=Speaks.TO_LEG)
    other = Begun(service, leg_id="a", speaks=Speaks.TO_LEG, owner=of_room("r")).attached()
    channel = other.session.channels[0]
    leg.channel.rate = 16000
    service.ctx.moments.rate_changed(service.ctx, leg)
    assert [one.session for one in begun.worker.all(Renew)] == [other.id]
    begun.attached()
    first, renewed = begun.worker.all(Renew)
    assert renewed.session == begun.id and renewed.ear == Ear(kind=FORK, rate=16000)
    assert first.mouth == renewed.mouth == Mouth(rate=16000)
    for one in (begun, other):
        one.opened(url=URL + "2")
        one.worker.says(Report(session=one.id, what="renewed"))
    settle()
    assert other.session.channels != [channel] and service.switch.heard(f"uuid_kill {channel}")
    until(lambda: service.switch.heard(f"uuid_audio_fork a stop {begun.id}"), "the old fork is ended")
    forks = service.switch.heard("uuid_audio_fork a start")
    assert forks[-1] == f"uuid_audio_fork a start {URL}2 mono 16000 {begun.id}-1"
    assert service.switch.heard("global_setvar")[-1].endswith("L16@16000h")
    begun.session.close()
    begun.closed()
    assert service.switch.heard(f"uuid_audio_fork a stop {begun.id}-1")
    assert begun.reasons == ["closed"] and not other.ends


# -- the switch goes and comes -----------------------------------------------------------------------------


def test_a_connection_that_is_lost_and_made_again(service):
    """What is there goes on; the pair that ended meanwhile ends its session."""
    service.leg("a")
    service.room("r", node=service.switch.name)
    forked = Begun(service, **FORKED).attached()
    kept = Begun(service, room_id="r", hears=Hears.ROOM).attached()
    gone = Begun(service, room_id="r", hears=Hears.ROOM).attached()

    service.loses_the_switch()
    del service.switch.channels[gone.session.channels[0]]
    service.switch.away = False
    service.reconnects()
    until(lambda: gone.worker.all(Close), "it is closed")
    gone.closed()
    assert (forked.ends, kept.ends, gone.reasons) == ([], [], ["switch"])
    assert kept.session.channels[0] in service.switch.channels, "it is not taken away"
    assert not service.switch.heard("uuid_audio_fork a stop")


def test_one_that_the_switch_was_asked_for_in_vain_goes_on(service):
    """It has brought audio; should it not be there, that is told by its end."""
    service.room("r", node=service.switch.name)
    begun = Begun(service, room_id="r", hears=Hears.ROOM).attached()
    service.loses_the_switch()
    service.switch.away = False
    service.switch.answers("show channels", json.dumps({"rows": []}))
    service.switch.answers("uuid_exists", SwitchUnavailable("no answer in time"))
    service.reconnects()
    gevent.sleep(0.02)
    assert (begun.ends, begun.session.reason) == ([], "")
    service.switch.answers("show channels", service.switch._carry_out)
    service.timers.fire(service.switch.name, "second look")
    assert not service.switch.heard("uuid_kill")


def _lost(service, line):
    service.switch.away = True
    raise SwitchUnavailable("the connection to the switch was lost")


@pytest.mark.parametrize("fault", ["the answer", "the report"])
def test_one_that_is_being_attached_when_the_connection_is_lost_is_attached_when_it_is_back(service, fault):
    """Its task goes on meanwhile: an agent may be in the middle of its greeting."""
    service.leg("a")
    service.room("r")
    begun = Begun(service, leg_id="a", room_id="r", hears=Hears.LEG, speaks=Speaks.TO_ROOM)
    if fault == "the answer":
        service.switch.answers("originate", partial(_lost, service))
    else:
        service.switch.answers("originate", "+OK")  # and nothing is heard of it
    begun.opened()
    service.loses_the_switch()
    assert (begun.ends, begun.worker.all(Close)) == ([], [])
    first = begun.session.channels

    service.switch.away = False
    service.switch.answers("originate", service.switch._carry_out)
    service.reconnects()
    assert len(begun.worker.all(Renew)) == 1
    begun.opened()
    assert begun.session.channels and begun.session.channels != first
    assert begun.session.up(begun.session.channels[0])
    forks = [line.split()[-1] for line in service.switch.heard("uuid_audio_fork a start")]
    assert begun.ends == [] and len(set(forks)) == 2


def _done_but_not_answered(service, line):
    service.switch._carry_out(line)
    _lost(service, line)


@pytest.mark.parametrize("came", [True, False], ids=["its audio had come", "it had not"])
@pytest.mark.parametrize("last", ["uuid_audio_fork", "originate", "sendmsg"])
def test_a_command_that_is_done_and_whose_answer_is_lost(service, last, came):
    """What it made is made anew, and nothing is left of the first."""
    service.leg("a")
    service.room("r", node=service.switch.name)
    begun = Begun(service, leg_id="a", room_id="r", hears=Hears.LEG, speaks=Speaks.TO_ROOM)
    service.switch.answers(last, partial(_done_but_not_answered, service))
    begun.opened()
    if came:
        begun.worker.says(Report(session=begun.id, what="attached"))
    service.loses_the_switch()
    (first,) = begun.session.channels
    service.switch.away = False
    service.switch.answers(last, service.switch._carry_out)
    service.reconnects()
    service.happens("CHANNEL_HANGUP_COMPLETE", first)
    begun.opened(url=f"{URL}2")
    begun.worker.says(Report(session=begun.id, what="renewed"))
    settle()
    assert service.switch.heard(f"uuid_kill {first}")
    until(lambda: service.switch.heard(f"uuid_audio_fork a stop {begun.id}"), "the first fork is stopped")
    assert [item["bug"] for item in service.ctx.state.items("live")] == [f"{begun.id}-1"]
    assert begun.session.up(begun.session.channels[0])
    assert (begun.ends, begun.session.reason, begun.session.renewals) == ([], "", 1)


def test_one_of_which_a_part_waits_until_the_connection_is_back(service):
    """For the leg's worker, say: what was lost is not the end of it."""
    service.switch.facts.forks = False
    service.leg("a")
    service.room("r", node=service.switch.name)
    busy = Signal()
    service.ctx.workers.submit("a", busy.wait)
    begun = Begun(service, leg_id="a", room_id="r", hears=Hears.LEG, speaks=Speaks.TO_ROOM)
    service.switch.answers("originate", partial(_lost, service))
    begun.opened()
    service.loses_the_switch()
    service.switch.away = False
    service.switch.answers("originate", service.switch._carry_out)
    service.reconnects()
    busy.set()
    until(lambda: begun.worker.all(Renew), "it is attached anew")
    begun.opened()
    assert (begun.ends, begun.session.reason) == ([], "")
    assert [begun.session.up(one) for one in begun.session.channels] == [True, True]


def test_a_fork_that_ends_while_the_calls_are_looked_at_is_stopped(service):
    """The switch is there, although not for everybody yet."""
    service.leg("a")
    begun = Begun(service, **FORKED).attached()
    service.loses_the_switch()
    service.switch.away, service.switch.resyncing = False, True
    begun.session.close()
    begun.closed()
    assert service.switch.heard("uuid_audio_fork a stop")
    assert not service.ctx.state.items("live")


def test_a_fork_whose_session_was_ended_while_the_switch_was_away(service):
    """And whose worker is not done with it when the switch is back."""
    service.leg("a")
    begun = Begun(service, **FORKED).attached()
    service.loses_the_switch()
    begun.session.close(1.0)
    service.switch.away = False
    service.reconnects()
    assert service.switch.heard("uuid_audio_fork a stop") == [f"uuid_audio_fork a stop {begun.id}"]
    begun.closed()
    assert begun.reasons == ["closed"] and not service.ctx.state.items("live")


def test_a_fork_that_was_renewed_while_the_switch_was_away(service):
    """The first one cannot be stopped then: its session goes on, and it is stopped all the same."""
    leg = service.leg("a")
    begun = Begun(service, **FORKED).attached()
    service.loses_the_switch()
    leg.channel.rate = 16000
    service.ctx.moments.rate_changed(service.ctx, leg)
    begun.opened()
    assert not service.switch.heard(f"uuid_audio_fork a stop {begun.id}")
    service.switch.away = False
    service.reconnects()
    begun.opened()
    stopped = service.switch.heard("uuid_audio_fork a stop")
    assert f"uuid_audio_fork a stop {begun.id}" in stopped
    assert f"uuid_audio_fork a stop {begun.id}-2" not in stopped
    assert [item["bug"] for item in service.ctx.state.items("live")] == [f"{begun.id}-2"]


PEER = {"leg_id": "w", "hears": Hears.PEER, "speaks": Speaks.AS_PEER, "rate": 16000}
STRANGER = {"room_id": "r", "hears": Hears.ROOM, "speaks": Speaks.AS_STRANGER}


@pytest.mark.parametrize("plan", [PEER, STRANGER, {**FORKED, "speaks": Speaks.TO_LEG}])
def test_the_calls_are_looked_at_anew_while_one_is_being_attached(service, plan):
    """On the connection that there is: what is being made is nobody's left-over."""
    service.leg("a")
    service.leg("w", there=False, dialling=True, state=RINGING)
    service.room("r", node=service.switch.name)
    made = service.switch.late("originate")
    begun = Begun(service, **plan).opened()
    service.reconnects()
    made.set()
    settle()
    service.reconnects()
    assert not service.switch.heard("uuid_kill")
    assert (begun.ends, begun.session.reason) == ([], "")
    begun.session.close()
    begun.closed()


def test_one_whose_switch_does_not_come_back_ends_by_the_patience_of_its_worker(service):
    service.leg("a")
    begun = Begun(service, **FORKED)
    service.switch.answers("uuid_audio_fork", partial(_lost, service))
    begun.opened()
    begun.closed("no_audio")
    assert begun.reasons == ["no_audio"]
    service.switch.away = False
    service.reconnects()
    assert not begun.worker.all(Renew)


def test_what_the_process_before_has_left(service):
    service.leg("a")
    service.switch.channels["lv-0123456789ab-cdef01"] = {"Unique-ID": "lv-0123456789ab-cdef01"}
    for bug, leg in (("lv-1", "a"), ("lv-2", "gone")):
        service.ctx.state.save_item("live", bug, {"bug": bug, "leg_id": leg, "node": "default"})
    service.ctx.state.save_item("live", "lv-3", {"bug": "lv-3", "leg_id": "a", "node": "other"})
    service.reconnects()
    assert service.switch.heard("uuid_audio_fork") == ["uuid_audio_fork a stop lv-1"]
    assert service.switch.heard("uuid_kill") == ["uuid_kill lv-0123456789ab-cdef01 NORMAL_CLEARING"]
    assert [item["bug"] for item in service.ctx.state.items("live")] == ["lv-3"]


def test_the_fork_module_goes_and_comes(service):
    service.leg("a")
    forked = Begun(service, **FORKED).attached()
    other = Begun(service, leg_id="a", speaks=Speaks.TO_LEG).attached()
    unload = {"Event-Name": "MODULE_UNLOAD", "type": "api", "name": "uuid_audio_fork"}
    service.report(unload | {"name": "something"})
    service.report(unload)
    settle()
    forked.closed()
    assert (forked.reasons, other.reasons) == (["switch"], [])
    assert not service.switch.heard("uuid_audio_fork a stop")
    service.report(unload | {"Event-Name": "MODULE_LOAD"})
    assert service.switch.heard("uuid_audio_fork a stop") == [f"uuid_audio_fork a stop {forked.id}"]
    assert not service.ctx.state.items("live")


def test_a_callback_that_fails_costs_nobody_else_anything(service):
    service.leg("a")
    fails = SimpleNamespace(calls=0)

    def closed(end):
        fails.calls += 1
        raise Internal("of the feature's own")

    plan = Plan(
        kind="test", task="echo", owner=of_leg("a"), leg_id="a", hears=Hears.LEG,
        on_report=lambda *_: None, on_closed=closed,
    )  # fmt: skip
    failing = service.ctx.get(Sessions).begin(service.ctx, plan)
    other = Begun(service, **FORKED)
    failing.worker.dies()
    settle()
    assert fails.calls == 1 and other.reasons == ["worker"] and failing.done.ready()
