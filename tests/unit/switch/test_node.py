"""One switch: its connections, kept up, and the order of things on them."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event as Signal
from greenswitch.esl import NotConnectedError

from tests.support.fakes import settle, until
from tests.support.log import recorded_log
from vsi_esl.errors import NotSupported, SwitchUnavailable
from vsi_esl.switch import node as node_module
from vsi_esl.switch.esl import pulse
from vsi_esl.switch.esl.client import AuthenticationFailed, CommandTimeout
from vsi_esl.switch.node import SwitchNode


class Peer:
    """A switch that is connected to: what it does with new connections, and all that happens, in order."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.connections: list[Connection] = []
        self.refuses: Exception | None = None
        self.alive = True
        self.answers: dict[str, str | Exception] = {}
        self.event_at = 0.0
        """When the last event came; 0 when they always do."""

    def connection(self, *address, **options):
        return Connection(self, **options)

    @property
    def events(self) -> Connection:
        """The connection that events come over."""
        return [one for one in self.connections if one.on_event is not None][-1]

    def drop(self, cause="the switch closed the connection") -> None:
        for one in list(self.connections):
            one.close(NotConnectedError(cause))


class Connection:
    """In place of an EslClient."""

    def __init__(self, peer, on_event=None, on_close=None, timeout=5.0, **_) -> None:
        self.peer, self.on_event, self.on_close = peer, on_event, on_close
        self.connected = self.paused = False
        self.held_back: list[dict] = []
        self.frames_read = self.late_answers = self.owing = self.pending = 0
        self.unanswered: list = []

    @property
    def last_event_at(self) -> float:
        return self.peer.event_at or node_module.time.monotonic()

    def connect(self) -> None:
        if self.peer.refuses is not None:
            raise self.peer.refuses
        self.connected = True
        self.peer.connections.append(self)

    def send(self, data, timeout=None, headers=None, *, then=()):
        if not self.connected:
            raise NotConnectedError("not connected")
        self.peer.happened.append(data.split("{")[0])
        for start, answer in self.peer.answers.items():
            if data.startswith(start):
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return "+OK"

    def send_many(self, lines, timeout=None):
        return [self.send(line) for line in lines]

    def send_timed(self, lines, timeout=None):
        return [(self.send(line), 1.0) for line in lines]

    def post(self, *lines, **_) -> None:
        for line in lines:
            self.send(line)

    def ask(self, question, answered) -> None:
        self.unanswered.append(answered)
        self.answer()

    def answer(self) -> None:
        while self.peer.alive and self.unanswered:
            self.frames_read += 1
            self.unanswered.pop(0)()

    def nudge(self) -> None:
        pass

    def pause(self) -> None:
        self.paused = True
        self.peer.happened.append("events are held back")

    def resume(self) -> None:
        self.paused = False
        self.peer.happened.append("events flow")
        while self.held_back:
            self.on_event(self.held_back.pop(0))

    def event(self, **headers) -> None:
        event = {name.replace("_", "-"): value for name, value in headers.items()}
        self.held_back.append(event)
        if not self.paused:
            self.resume()

    def close(self, cause=None) -> None:
        was, self.connected = self.connected, False
        if self in self.peer.connections:
            self.peer.connections.remove(self)
        if was and self.on_close is not None:
            self.on_close(cause or NotConnectedError("closed"))

    stop = close


@pytest.fixture
def peer(monkeypatch) -> Peer:
    one = Peer()
    monkeypatch.setattr(node_module, "EslClient", one.connection)
    monkeypatch.setattr(node_module, "TICK_S", 0.001)  # ticks are counted, so time goes as they do
    monkeypatch.setattr(pulse, "WAIT_TICK_S", 0.001)
    monkeypatch.setattr(pulse, "SETTLE_S", 0.001)
    monkeypatch.setattr(node_module.random, "uniform", lambda low, high: 0.0)
    return one


@pytest.fixture
def make(peer):
    """A node, which tells the peer's diary what it does."""
    nodes = []

    def make_node(resync=lambda: None, on_event=lambda event: None, on_lost=lambda: None, **more):
        def resynced():
            peer.happened.append("resync")
            return resync()

        def lost():
            peer.happened.append("lost")
            on_lost()

        more = {"backoff_min": 0.0001, "events": ["CHANNEL_PARK"], "password": "x", **more}
        node = SwitchNode(host="h", port=1, on_event=on_event, resync=resynced, on_lost=lost, **more)
        nodes.append(node)
        node.start()
        return node

    yield make_node
    for node in nodes:
        node.stop()


# -- connecting ------------------------------------------------------------------------------------------


def test_ready_is_behind_resync_and_all_it_asks(peer, make):
    seen = []
    node = make(
        resync=lambda: seen.append((node.ready, peer.events.paused)) or (lambda: seen.append(node.ready))
    )
    assert node.wait_ready(20)
    assert seen == [(False, True), False]
    order = [what for what in peer.happened if not what.startswith("api module_exists")]
    assert order[0].startswith("event json") and "CHANNEL_PARK" in order[0]
    assert order.index("events are held back") < order.index("api version") < order.index("resync")
    assert order.index("api uuid_exists vsi-bond") < order.index("resync") < order.index("events flow")


def test_the_switch_is_told_what_it_need_not_tell(peer, make):
    peer.answers["api global_getvar core_uuid"] = "core-1"
    assert make(unheard={"mute-member", "floor-change"}).wait_ready(20)
    told = [one for one in peer.happened if one.startswith("filter")]
    assert told == ["filter Core-UUID core-1", "filter Action -floor-change", "filter Action -mute-member"]


def test_a_switch_that_has_no_filters_tells_all(peer, make):
    peer.answers |= {"api global_getvar core_uuid": "core-1", "filter": "-ERR command not found"}
    assert make(unheard={"mute-member"}).wait_ready(20)
    assert [one for one in peer.happened if one.startswith("filter")] == ["filter Core-UUID core-1"]


def test_events_that_were_held_back_come_before_what_is_left_to_do(peer, make):
    seen = []

    def resync():
        peer.events.event(Event_Name="CHANNEL_PARK", Unique_ID="a")
        seen.append("looked")
        return lambda: seen.append("the rest")

    node = make(resync=resync, on_event=lambda event: seen.append(event["Unique-ID"]))
    assert node.wait_ready(20)
    assert seen == ["looked", "a", "the rest"]


def test_commands_wait_for_the_resync_but_its_own_do_not(peer, make):
    gate, asked = Signal(), []

    def resync():
        asked.append(node.command("own"))
        assert gate.wait(20)

    node = make(resync=resync)
    until(lambda: asked, "the resync asks")
    other = gevent.spawn(node.command, "others")
    settle()
    assert not other.ready()
    gate.set()
    assert other.get(timeout=20) == "+OK"
    assert peer.happened.index("api own") < peer.happened.index("api others")


def test_without_a_connection_commands_say_why(peer, make):
    peer.refuses = NotConnectedError("connection refused")
    node = make()
    until(lambda: node.reconnects, "an attempt")
    for call in (
        node.command,
        node.job,
        lambda line: node.set_up([line]),
        lambda line: node.command_many([line]),
    ):
        with pytest.raises(SwitchUnavailable, match="connection refused"):
            call("x")
    node.post("lost 1", "lost 2")
    assert node.posts_lost == 2
    assert node.command_many([]) == node.set_up([]) == []


@pytest.mark.parametrize(
    ("error", "longest"),
    [
        (NotConnectedError("connection refused"), node_module.QUICK_BACKOFF_S),
        (AuthenticationFailed("wrong password"), 10.0),
        (RuntimeError("a fault"), 10.0),
    ],
)
def test_the_backoff_doubles_up_to_a_limit_and_is_short_for_who_may_be_there_any_moment(
    peer, make, monkeypatch, error, longest
):
    waits = []
    monkeypatch.setattr(node_module.random, "uniform", lambda low, high: waits.append(high) or 0.0)
    peer.refuses = error
    node = make(backoff_max=10.0)
    until(lambda: len(waits) > 20, "attempts")
    assert waits[:3] == [pytest.approx(0.0001 * 2**number) for number in range(3)]
    assert max(waits) == min(longest, 0.0001 * 2**16)
    assert not node.ready


def test_the_same_error_is_logged_once(peer, make):
    with recorded_log() as log:
        peer.refuses = NotConnectedError("connection refused")
        node = make()
        until(lambda: node.reconnects > 5, "attempts")
        peer.refuses = AuthenticationFailed("wrong password")
        until(lambda: "wrong" in node.last_error, "another error")
        lines = log.named("switch not available")
    assert [line["error"] for line in lines] == ["connection refused", "wrong password"]
    assert {line["address"] for line in lines} == {"h:1"}


def test_a_switch_that_refuses_our_events_is_not_used(peer, make):
    peer.answers["event json"] = "-ERR"
    node = make()
    until(lambda: node.reconnects, "an attempt")
    assert "refused our events" in node.last_error
    assert "resync" not in peer.happened


# -- losing it -------------------------------------------------------------------------------------------


def test_a_lost_switch_is_told_and_connected_to_again(peer, make):
    node = make()
    assert node.wait_ready(20)
    peer.drop("the network is gone")
    until(lambda: node.reconnects and node.ready, "it is back")
    assert [what for what in peer.happened if what in ("resync", "lost")] == ["resync", "lost", "resync"]


def test_a_switch_lost_during_its_resync_is_resynced_anew_and_was_never_there(peer, make):
    attempts = []

    def resync():
        attempts.append(node.ready)
        if len(attempts) == 1:
            peer.drop("lost meanwhile")
            node.command("show channels as json")

    node = make(resync=resync)
    assert node.wait_ready(20)
    assert (len(attempts), "lost" in peer.happened) == (2, False)


@pytest.mark.parametrize(
    "error", [SwitchUnavailable("no answer"), CommandTimeout("no answer"), KeyError("a fault")]
)
def test_a_resync_that_fails_is_done_anew_on_new_connections(peer, make, error):
    attempts = []

    def resync():
        attempts.append(list(peer.connections))
        if len(attempts) == 1:
            raise error

    node = make(resync=resync)
    assert node.wait_ready(20)
    assert not set(attempts[0]) & set(attempts[1])


def test_jobs_fail_with_the_connection(peer, make):
    node = make()
    assert node.wait_ready(20)
    job = gevent.spawn(node.job, "originate x")
    settle()
    assert not job.ready()
    peer.drop("the network is gone")
    with pytest.raises(SwitchUnavailable):
        job.get(timeout=20)


def test_a_stopped_node_does_not_come_back(peer, make):
    node = make()
    assert node.wait_ready(20)
    node.stop()
    settle()
    assert (node.ready, peer.connections) == (False, [])
    with pytest.raises(SwitchUnavailable, match="shutting down"):
        node.command("x")


# -- a switch that stands still --------------------------------------------------------------------------


def test_a_switch_that_stands_still_is_looked_at_anew_when_it_goes_on(peer, make):
    node = make()
    assert node.wait_ready(20)
    peer.alive = False
    until(lambda: node.stalls, "it is noticed")
    assert (node.ready, node.last_error) == (False, "the switch does not answer")
    with pytest.raises(SwitchUnavailable, match="does not answer"):
        node.command("x")
    peer.alive = True
    for one in peer.connections:
        one.answer()
    until(lambda: node.ready, "it goes on")
    assert (node.refreshes, node.reconnects) == (1, 0)
    assert [what for what in peer.happened if what in ("resync", "lost")] == ["resync", "resync"]


def test_a_switch_that_is_lost_while_it_stands_still_is_told_to_be(peer, make):
    """Whoever waits for it is not to wait for its answer on connections that there are no more."""
    node = make()
    assert node.wait_ready(20)
    peer.alive = False
    until(lambda: node.stalls, "it is noticed")
    peer.alive = True
    peer.drop("the network is gone")
    until(lambda: node.ready, "it is back")
    assert [what for what in peer.happened if what in ("resync", "lost")] == ["resync", "lost", "resync"]


def test_a_switch_that_is_lost_while_it_is_looked_at_anew_is_told_to_be(peer, make):
    attempts = []

    def resync():
        attempts.append(1)
        if len(attempts) == 2:
            raise SwitchUnavailable("no answer")

    node = make(resync=resync)
    assert node.wait_ready(20)
    node.post()
    node._refresh_due = "commands could not be sent"
    until(lambda: node.ready and len(attempts) == 3, "it is back")
    assert [what for what in peer.happened if what in ("resync", "lost")] == [
        "resync",
        "resync",
        "lost",
        "resync",
    ]


def test_calls_are_not_looked_at_anew_while_answers_are_owed(peer, make):
    node = make()
    assert node.wait_ready(20)
    peer.connections[0].owing = 1
    peer.connections[0].late_answers = 1
    settle()
    assert node.refreshes == 0
    peer.connections[0].owing = 0
    until(lambda: node.refreshes, "the calls are looked at anew")


# -- its events ------------------------------------------------------------------------------------------


def test_events_of_its_own_are_not_handed_on(peer, make):
    seen = []
    node = make(on_event=lambda event: seen.append(event["Event-Name"]))
    assert node.wait_ready(20)
    for name in ("HEARTBEAT", "BACKGROUND_JOB", "MODULE_LOAD", "CHANNEL_PARK"):
        peer.events.event(Event_Name=name)
    assert (seen, node.events_handled) == (["CHANNEL_PARK"], 4)


def test_a_bond_that_ends_is_made_anew(peer, make):
    node = make()
    assert node.wait_ready(20)
    peer.happened.clear()
    peer.events.event(Event_Name="CHANNEL_HANGUP_COMPLETE", Unique_ID="vsi-bond")
    until(lambda: "api originate " in peer.happened, "a new bond")


def test_a_module_that_is_loaded_is_noticed(peer, make, monkeypatch):
    monkeypatch.setattr("vsi_esl.switch.facts.NEEDED", {"mod_x": ["something"]})
    peer.answers["api module_exists"] = "false"
    node = make()
    assert node.wait_ready(20)
    with pytest.raises(NotSupported, match="mod_x"):
        node.require("mod_x")
    peer.answers["api module_exists"] = "true"
    peer.events.event(Event_Name="MODULE_LOAD")
    until(lambda: not node.facts.missing_modules, "it is asked again")
    node.require("mod_x")


@pytest.mark.parametrize("interval", ["", "0", "-5", "x", "\u0665"])
def test_a_heartbeat_without_a_sensible_interval_changes_nothing(peer, make, interval):
    node = make()
    assert node.wait_ready(20)
    peer.events.event(Event_Name="HEARTBEAT", Heartbeat_Interval=interval)
    assert node._heartbeat == node_module.DEFAULT_HEARTBEAT_S


def test_a_switch_that_is_silent_is_connected_to_anew(peer, make):
    node = make()
    assert node.wait_ready(5)
    node._heartbeat = 0.01
    peer.event_at = 1.0
    until(lambda: node.reconnects > 0, "it is given up")
    assert node.last_error.startswith("the switch has been silent for")


def test_one_is_not_silent_for_as_long_as_we_stood_still_ourselves(peer, make):
    node = make()
    assert node.wait_ready(5)
    node._heartbeat = 0.1
    peer.event_at = node_module.time.monotonic() - 1000
    for _ in range(20):
        settle()
        peer.event_at += 1  # what came meanwhile is read
    assert node.ready and node.reconnects == 0


# -- of a switch that other services may have -------------------------------------------------------------


class Guarded:
    """In place of what knows whose the switch is: unsure until it is asked, once the test lets it answer."""

    def __init__(self, answer: Exception | None = None) -> None:
        self.sure = True
        self.answer = answer
        self.may_answer = Signal()

    def fresh(self) -> bool:
        return self.sure

    def confirm(self, ask, *, anew=False) -> None:
        self.may_answer.wait(20)
        if self.answer is not None:
            raise self.answer
        self.sure = True

    def connected(self, ask) -> None:
        pass


def test_events_wait_until_it_is_sure_and_one_that_fails_costs_no_other(peer, make, log):
    seen: list[str] = []

    def handled(event):
        if event["Unique-ID"] == "a":
            raise ValueError("a fault")
        seen.append(event["Unique-ID"])

    node = make(on_event=handled)
    node.guard = guard = Guarded()
    assert node.wait_ready(20)
    guard.sure = False
    for name in "abc":
        peer.events.event(Event_Name="CHANNEL_PARK", Unique_ID=name)
    settle()
    assert seen == [] and peer.events.paused
    guard.may_answer.set()
    until(lambda: not peer.events.paused, "events flow again")
    assert seen == ["b", "c"] and len(log.named("event handler failed")) == 1
    peer.events.event(Event_Name="CHANNEL_PARK", Unique_ID="d")
    assert seen == ["b", "c", "d"]


def test_events_that_wait_while_a_re_adoption_comes_to_its_end_do_not_hold_up_those_behind_them(peer, make):
    seen, asked, may_end = [], Signal(), Signal()

    def finish() -> None:
        guard.sure = False
        peer.events.event(Event_Name="CHANNEL_PARK", Unique_ID="a")
        asked.set()
        may_end.wait(5)

    node = make(on_event=lambda event: seen.append(event["Unique-ID"]), resync=lambda: finish)
    node.guard = guard = Guarded()
    assert asked.wait(5)
    guard.may_answer.set()
    until(lambda: seen == ["a"], "it is sure")
    settle()
    may_end.set()
    assert node.wait_ready(5)
    peer.events.event(Event_Name="CHANNEL_PARK", Unique_ID="b")
    assert seen == ["a", "b"]


@pytest.mark.parametrize("error", [SwitchUnavailable("another service has it"), ValueError("a fault")])
def test_events_of_a_switch_that_may_be_anothers_are_dropped_and_it_is_connected_to_anew(peer, make, error):
    seen = []
    node = make(on_event=seen.append)
    node.guard = guard = Guarded(error)
    assert node.wait_ready(20)
    guard.sure = False
    peer.events.event(Event_Name="CHANNEL_PARK", Unique_ID="a")
    guard.may_answer.set()
    guard.answer = error
    until(lambda: node.reconnects >= 1, "it connects anew")
    assert seen == []


@pytest.mark.parametrize("known", [True, False])
def test_what_a_connection_of_before_has_left_does_not_hold_up_the_next(peer, make, known):
    """The switch goes to another service, and comes again: the first event is taken at once, and none of what
    had been read before. `known`: it is not forgotten yet that it was ours."""
    seen = []
    node = make(on_event=lambda event: seen.append(event["Unique-ID"]))
    node.guard = guard = Guarded(SwitchUnavailable("another service has it"))
    assert node.wait_ready(20)
    before = peer.events
    guard.sure = False
    node.leave("another service has it")
    if not known:
        node.guard = None
    before.event(Event_Name="CHANNEL_PARK", Unique_ID="a")
    settle()
    node.guard = Guarded()
    node.start()
    assert node.wait_ready(20)
    peer.events.event(Event_Name="CHANNEL_PARK", Unique_ID="b")
    assert seen == ["b"]


def test_what_a_lost_connection_has_left_is_told_and_of_one_that_may_be_anothers_it_is_not(peer, make):
    seen = []
    node = make(on_event=lambda event: seen.append(event["Unique-ID"]), backoff_min=20.0, backoff_max=20.0)
    assert node.wait_ready(20)
    before = peer.events
    peer.drop()
    until(lambda: node._events is None, "it is lost")
    before.event(Event_Name="CHANNEL_HANGUP_COMPLETE", Unique_ID="a")
    assert seen == ["a"]
    node.guard = Guarded()
    node.guard.sure = False
    before.event(Event_Name="CHANNEL_HANGUP_COMPLETE", Unique_ID="b")
    settle()
    assert seen == ["a"] and not node._unsure
