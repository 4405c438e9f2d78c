"""`vsi-esl top` and `vsi-esl bench call` on a service."""

from __future__ import annotations

import json
import os
import signal

import gevent

from tests.support.drivers import eventually
from tests.support.ports import free_port
from tests.support.service import address
from tests.support.terminal import Terminal
from vsi_esl.access.tokens import line_of, new_token


def url(service) -> str:
    return f"ws://{address(service)}/v1/vsi"


def test_top_on_a_terminal_through_a_restart_of_the_service(start, switch):
    port = free_port()  # nobody else's while the service is away
    service = start(http={"addr": f"127.0.0.1:{port}"})
    terminal = Terminal("top", "--url", url(service), "--interval", "0.2")
    try:
        terminal.until("0 legs")
        switch.call()
        terminal.until("1 ringing")
        terminal.press("r")
        terminal.until("speaking")
        terminal.press("rp")
        terminal.until("PAUSED")
        terminal.press("p")
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.until("\x1b[?1049l")
        eventually(terminal.stopped, "it is stopped")
        assert terminal.as_before(), "the shell has its terminal back"
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until("\x1b[?1049h")
        service.stop()
        terminal.until("connection lost at")
        again = start(http={"addr": f"127.0.0.1:{port}"})
        terminal.until("connected again at")
        terminal.until("1 legs")
        eventually(lambda: len(again.ctx.legs) == 1, "the call is known again")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 0
    finally:
        terminal.close()


def test_top_without_a_terminal_and_for_programs(start, switch, say):
    service = start()
    switch.call()
    eventually(lambda: len(service.ctx.legs) == 1, "it rings")
    (leg,) = (one.id for one in service.ctx.legs)
    printed = say("top", "--url", url(service), "--sort", "id")
    assert (printed.code, printed.err) == (0, "")
    assert "1 legs  1 ringing  0 rooms" in printed.out
    assert "\x1b" not in printed.out
    assert printed.out.splitlines()[-1].split()[:3] == [leg, "sip_inbound", "ringing"]
    found = json.loads(say("top", "--url", url(service), "--json", "--app-id", "nobody").out)
    assert found["legs"] == []
    assert found["rates"]["over_seconds"] >= 0.9
    assert found["webhooks_waiting"] == 0


def test_top_with_a_confined_token(start, say):
    token = new_token()
    service = start(access={"tokens": (line_of("acme", "read", token, "acme"),)})
    printed = say("top", "--url", url(service), VSI_ESL_TOKEN=token)
    assert printed.code == 0
    assert "no rates: not for this token" in printed.out
    refused = say("top", "--url", url(service), "--token", "wrong")
    assert refused.code == 1
    assert "401" in refused.err or "refused" in refused.err


def test_bench_makes_calls_and_leaves_none(service, switch, say):
    before = service.ctx.bus.published
    done = say(
        "bench",
        "calls",
        *("--url", url(service), "--to", switch.uri("answer")),
        *("--calls", "6", "--rate", "40", "--concurrency", "4", "--hold", "0.1", "--json"),
    )
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["calls"], found["set_up"], found["failed"], found["left_behind"]) == (6, 6, 0, 0)
    assert found["most_at_once"] <= 4
    times = found["milliseconds"]
    assert 0 < times["reply"]["p50"] <= times["connected"]["p50"] <= times["connected"]["max"]
    assert found["service"]["cpu"] > 0
    assert service.ctx.bus.published >= before + 18  # ringing, connected, disconnected
    assert len(service.ctx.legs.everyone()) == 0


def test_bench_tells_why_calls_failed(service, switch, say):
    told = ("--url", url(service), "--calls", "2", "--rate", "40")
    done = say("bench", "call", *told, "--to", switch.uri("reject-486"))
    assert done.code == 1
    assert "      2  busy" in done.out
    refused = say("bench", "call", *told, "--to", "sip:x@127.0.0.1;maddr=10.1.2.3")
    assert refused.code == 2
    assert "not on this machine" in refused.err


def test_bench_that_is_interrupted_hangs_its_calls_up(service, switch, say):
    def interrupt() -> None:
        eventually(lambda: len(service.ctx.legs) == 5, "all calls are up")
        os.kill(os.getpid(), signal.SIGINT)

    gevent.spawn(interrupt)
    options = ("--calls", "5", "--rate", "50", "--hold", "600", "--to", switch.uri("answer"))
    done = say("bench", "call", "--url", url(service), *options)
    assert done.code == 130
    assert "interrupted" in done.out
    assert "left       0 legs" in done.out
    assert len(service.ctx.legs.everyone()) == 0


def test_bench_whose_connection_is_lost_hangs_its_calls_up(service, switch, say):
    def cut() -> None:
        eventually(lambda: len(service.ctx.legs) == 3, "calls are up")
        service.http.close_sessions()

    gevent.spawn(cut)
    options = ("--calls", "3", "--rate", "50", "--hold", "600", "--to", switch.uri("answer"))
    done = say("bench", "call", "--url", url(service), *options)
    assert done.code == 1
    assert "the connection was lost" in done.out
    eventually(lambda: len(service.ctx.legs.everyone()) == 0, "none is left")
