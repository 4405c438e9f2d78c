"""What is asked over a line: answered once whatever becomes of the connection, in time or not at all."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import AsyncResult, Event

from tests.support.stalls import comes_while_still
from tests.support.waiting import eventually
from vsi_esl.errors import Unavailable
from vsi_esl.wire import client, connection, server
from vsi_esl.wire.client import Refused
from vsi_esl.wire.server import Failed


def test_a_question_is_answered_and_counted(ends):
    both = ends({"double": lambda peer, args: 2 * args["n"]})
    line = both.connected()
    assert line.ask("double", {"n": 21}, 20, 0) == 42
    assert both.counted == {("double", "answered"): 1}


def test_an_error_is_the_answer_too(ends):
    def fail(peer, args):
        if args["how"] == "named":
            raise Failed("media", "no such file")
        return args["missing"]

    line = ends({"fail": fail}).connected()
    with pytest.raises(Refused, match="no such file") as refused:
        line.ask("fail", {"how": "named"}, 20, 0)
    assert refused.value.kind == "media"
    with pytest.raises(Refused, match="not understood: KeyError"):
        line.ask("fail", {"how": "other"}, 20, 0)
    with pytest.raises(Refused, match="does not know 'nothing'"):
        line.ask("nothing", {}, 20, 0)


def test_a_question_is_answered_by_what_came_while_we_stood_still(ends):
    line = ends({"never": lambda peer, args: AsyncResult()}).connected()
    asked = gevent.spawn(line.ask, "never", {}, 0.3, 0)
    eventually(lambda: line._questions, "it is asked")
    (question,) = line._questions.values()
    comes_while_still(0.6, lambda: question.result.set("here"))
    assert asked.get(timeout=20) == "here"


def test_what_the_companion_has_done_while_it_stood_still_is_done(ends):
    done: AsyncResult[str] = AsyncResult()
    begun = Event()

    def work(peer, args):
        begun.set()
        return done.get()

    line = ends({"work": work}).connected()
    asked = gevent.spawn(line.ask, "work", {}, 0.3, 0)
    assert begun.wait(20)
    comes_while_still(0.6, lambda: done.set("done"))
    assert asked.get(timeout=20) == "done"


def test_a_question_whose_answer_is_lost_is_asked_again_and_done_once(ends):
    began, go_on, done = Event(), Event(), []

    def slow(peer, args):
        began.set()
        go_on.wait(20)
        done.append(args)
        return len(done)

    both = ends({"slow": slow})
    line = both.connected()
    asked = gevent.spawn(line.ask, "slow", {}, 20, 20)
    assert began.wait(20)
    both.server.peers[0].connection.close("cut")
    eventually(lambda: line.connects == 2, "it is there again")
    go_on.set()
    assert asked.get(timeout=20) == 1
    assert len(done) == 1


def test_an_answer_that_was_given_to_a_connection_that_is_gone_is_given_again(ends):
    done = []

    def once(peer, args):
        done.append(1)
        peer.connection.close("cut before the answer")
        return "only one"

    line = ends({"once": once}).connected()
    assert line.ask("once", {}, 20, 20) == "only one"
    assert len(done) == 1


def test_who_waits_for_a_companion_that_is_away_does_so_as_long_as_it_may(ends):
    both = ends({"echo": lambda peer, args: args})
    line = both.connected()
    both.server.stop()
    eventually(lambda: not line.connected, "it is gone")
    line._away_since -= 100
    with pytest.raises(Unavailable, match="the companion of switch east is not connected"):
        line.ask("echo", {}, 60, 99)
    waiting = gevent.spawn(line.ask, "echo", {"a": 1}, 60, 200)
    gevent.sleep(0)
    both.listen()
    assert waiting.get(timeout=20) == {"a": 1}
    assert both.counted == {("echo", "away"): 1, ("echo", "answered"): 1}


def test_without_an_answer_in_time_there_is_none(ends):
    both = ends({"never": lambda peer, args: Event().wait(30)})
    line = both.connected()
    with pytest.raises(Unavailable, match="did not answer in time"):
        line.ask("never", {}, 0.05, 0)
    assert both.counted == {("never", "late"): 1}
    assert not line._questions


def test_more_than_may_be_asked_is_refused_at_both_ends(ends, monkeypatch):
    held = Event()
    both = ends({"wait": lambda peer, args: held.wait(20)})
    line = both.connected()
    monkeypatch.setattr(server, "MOST_ASKED", 2)
    waiting = [gevent.spawn(line.ask, "wait", {}, 20, 0) for _ in range(2)]
    eventually(lambda: both.server._busy == 2, "two are being answered")
    with pytest.raises(Refused, match="too much to do"):
        line.ask("wait", {}, 20, 0)
    monkeypatch.setattr(client, "MOST_ASKED", 2)
    with pytest.raises(Unavailable, match="too much is asked of the companion of switch east"):
        line.ask("wait", {}, 20, 0)
    held.set()
    gevent.joinall(waiting, timeout=20, raise_error=True)
    assert both.counted["wait", "full"] == 1


def test_what_lasts_is_asked_until_it_is_answered_and_settled(ends, monkeypatch):
    results = {}

    def upload(peer, args):
        return results.setdefault(args["name"], AsyncResult())

    both = ends({"upload": upload})
    line = both.connected()
    one = line.follow("upload", {"name": "a"}, "up-1")
    assert line.follow("upload", {"name": "a"}, "up-1") is one
    eventually(lambda: "a" in results, "it was asked")
    both.server.stop()
    eventually(lambda: not line.connected, "it is gone")
    two = line.follow("upload", {"name": "b"}, "up-2")
    monkeypatch.setattr(client, "MOST_LASTING", 2)
    with pytest.raises(Unavailable, match="too much waits"):
        line.follow("upload", {"name": "c"}, "up-3")
    results.clear()  # another process
    both.listen()
    eventually(lambda: len(results) == 2, "both were asked again")
    results["b"].set("there")
    assert two.get(timeout=20) == "there"
    results["a"].set_exception(Failed("upload", "no such bucket"))
    with pytest.raises(Refused, match="no such bucket"):
        one.get(timeout=20)
    settled = [("told", {"kind": "settled", "id": name}) for name in ("up-2", "up-1")]
    eventually(lambda: [one for one in both.events if one[0] == "told"] == settled, "both were settled")


def test_thousands_that_have_gathered_are_all_answered(ends, monkeypatch):
    monkeypatch.setattr(server, "MOST_ASKED", 10)
    monkeypatch.setattr(connection, "MOST_UNSENT", 1000)
    both = ends({"upload": lambda peer, args: args["n"]})
    line = both.connected()
    both.server.stop()
    eventually(lambda: not line.connected, "it is gone")
    results = [line.follow("upload", {"n": n}, f"up-{n}") for n in range(3000)]
    both.listen()
    gevent.joinall(results, timeout=30)
    assert [one.value for one in results] == list(range(3000))
    assert line.connects == 2 and not line._questions


def test_answers_are_not_remembered_for_ever(ends, monkeypatch):
    both = ends({"echo": lambda peer, args: args})
    line = both.connected()
    monkeypatch.setattr(server, "MOST_REMEMBERED", 3)
    for number in range(5):
        line.ask("echo", {"n": number}, 20, 0)
    assert len(both.server._answered) == 3 and not both.server._running
    monkeypatch.setattr(server, "REMEMBERED_S", 0.0)
    line.ask("echo", {}, 20, 0)
    assert not both.server._answered


def test_an_answer_that_is_too_long_is_an_error_and_the_line_stays(ends):
    line = ends({"much": lambda peer, args: "x" * (9 << 20)}).connected()
    with pytest.raises(Refused, match="the answer cannot be sent"):
        line.ask("much", {}, 20, 0)
    assert line.connected and line.connects == 1


def test_silence_is_the_end_on_both_sides(ends, monkeypatch):
    both = ends({}, tick_s=0.02)
    lost = Event()
    line = both.connected()
    line.lost.append(lost.set)
    monkeypatch.setattr(type(both.server.peers[0].connection), "send", lambda *_: None)
    assert lost.wait(20)
    assert line.error == "the other end does not answer"


def test_who_does_not_read_is_let_go(ends):
    line = ends({}).connected()
    connection = line._connection
    connection._greenlets[1].kill()  # the one that writes
    for _ in range(8):
        line.tell({"kind": "much", "text": "x" * (8 << 20)})
    eventually(lambda: connection.over, "it is over")
    assert line.error == "the other end does not read" or line.connected


def test_a_line_that_is_stopped_stays_so(ends):
    both = ends({})
    line = both.connected()
    line.stop()
    eventually(lambda: ("left", "pbx1") in both.events, "the companion sees it")
    assert not line.connected and line.connects == 1
