"""No loop that is there for good ends silently: each is begun by `lasting.keep`, or it is said here what sees
its end. Nor does a task of the media workers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from tests.support.drivers import eventually
from vsi_esl import lasting

ROOT = Path(__file__).parents[2] / "vsi_esl"
OTHERS = ("sandbox", "cli/bench", "cli/top", "media", "providers")
"""A switch for the desk, commands that somebody looks at, and processes of their own, without gevent."""
ENDS_ARE_SEEN = {
    "wire/connection.py": {"_write", "_tick"},  # the other end does not hear of us, and closes
    "live/process.py": {"_write", "_ask", "_read"},  # pings are not answered, and the worker is replaced
    "lasting.py": {"_on_and_on"},  # itself
    "switch/esl/writer.py": {"_write"},  # it closes the connection, which is made anew
    "switch/esl/hurry.py": {"_run"},  # begun anew by the next event that is waited for
    "switch/esl/pulse.py": {"_probe"},  # only for as long as a switch stands still
    "web/vsi.py": {"_send_events", "_send_pings"},  # they close the connection
}


def spawned(tree: ast.AST) -> Iterator[str]:
    """The functions of a module that greenlets are begun with, bare."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("gevent.spawn", "spawn")):
            continue
        first = node.args[0]
        if isinstance(first, ast.Attribute):
            yield first.attr
        elif isinstance(first, ast.Name):
            # of a loop over several
            yield from (
                (one.attr for one in ast.walk(tree) if isinstance(one, ast.Attribute))
                if (first.id in {"one", "work"})
                else (first.id,)
            )


def endless(tree: ast.AST) -> set[str]:
    """The functions of a module that have a loop which ends with an error only."""
    return {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for loop in ast.walk(function)
        if isinstance(loop, ast.While) and isinstance(loop.test, ast.Constant)
    }


def test_loops_that_are_there_for_good_are_begun_anew():
    found: dict[str, set[str]] = {}
    for file in ROOT.rglob("*.py"):
        name = str(file.relative_to(ROOT))
        if name.startswith(OTHERS):
            continue
        tree = ast.parse(file.read_text())
        if bare := set(spawned(tree)) & endless(tree):
            found[name] = bare
    assert not {name: more for name, bare in found.items() if (more := bare - ENDS_ARE_SEEN.get(name, set()))}
    assert set(found) >= set(ENDS_ARE_SEEN), "what is listed here is there"


BEGINS = ("create_task", "ensure_future", "run_coroutine_threadsafe")
TASKS_WHOSE_ENDS_ARE_SEEN = {
    "media/beside.py": {"beside"},  # raises what they raise
    "media/forks.py": {"forget"},  # only closes what nobody needs any more
    "media/session.py": {"_work", "_finish"},  # their outcome is looked at
    "media/tasks/agent.py": {"run"},  # `_until_over`
    "media/tasks/stt.py": {"_converse"},  # awaits both
    "media/tasks/websocket.py": {"run", "_begun"},  # `_ended`; and its result is asked for
    "media/worker.py": {"_open"},  # a session tells its end, whatever that is
    "providers/tts/local.py": {"_espeak"},  # awaits it
    "providers/websocket.py": {"keep", "close_soon"},  # `messages` raises it; closing does not fail
}
"""By module, the functions that begin tasks. In them an error that nobody foresaw has to end the session by
name: asyncio says only that nobody asked for it, once the task is collected, and the session hangs."""


def begins_tasks(tree: ast.AST) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in BEGINS:
                    yield function.name


def test_it_is_known_what_sees_the_end_of_each_task():
    found: dict[str, set[str]] = {}
    for file in ROOT.rglob("*.py"):
        if there := set(begins_tasks(ast.parse(file.read_text()))):
            found[str(file.relative_to(ROOT))] = there
    assert found == TASKS_WHOSE_ENDS_ARE_SEEN


@pytest.mark.parametrize("error", [ValueError("a fault"), gevent.Timeout(0.0)])
def test_what_fails_is_begun_anew_and_told(monkeypatch, log, error):
    monkeypatch.setattr(lasting, "PAUSE_S", 0.01)
    done: list[str] = []

    def work(name: str) -> None:
        done.append(name)
        if len(done) < 4:
            raise error
        gevent.sleep(20)

    greenlet = lasting.keep(work, "x", again=lambda: done.append("again"))
    eventually(lambda: done == ["x", "again", "x", "again", "x"], "begun anew")
    assert len(log.named("lasting work failed; it is begun anew")) == 2
    greenlet.kill()
    assert len(done) == 5


def test_what_is_over_or_ended_is_not_begun_anew(log):
    done: list[int] = []
    assert lasting.keep(done.append, 1).get(timeout=20) is None
    waiting = lasting.keep(gevent.sleep, 100)
    gevent.sleep(0)
    waiting.kill()
    assert waiting.ready() and done == [1] and not log.lines
