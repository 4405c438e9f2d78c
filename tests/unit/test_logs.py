"""The log: one renderer for all, and nothing private in it."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import structlog

from vsi_esl import logs

SECRET = "hunter2"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Give the other tests their log set-up back."""
    root = logging.getLogger()
    before = structlog.get_config(), list(root.handlers), root.level
    yield
    structlog.contextvars.clear_contextvars()
    structlog.configure(**before[0])
    root.handlers[:] = before[1]
    root.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail() -> None:
    password = SECRET
    raise RuntimeError(f"length {len(password)}")


def test_json_lines():
    out = io.StringIO()
    logs.setup("info", "json", out)
    structlog.get_logger("vsi_esl.app").info("listening", address=":8080")
    (line,) = lines(out)
    when = datetime.fromisoformat(line.pop("timestamp"))
    assert when.utcoffset() == timedelta(0)
    assert line == {"event": "listening", "level": "info", "logger": "vsi_esl.app", "address": ":8080"}


def test_the_standard_library_goes_the_same_way():
    out = io.StringIO()
    logs.setup("info", "json", out)
    for name in ("werkzeug", "urllib3.connectionpool", "gevent.pywsgi"):
        logging.getLogger(name).warning("%s of %d", "one", 2)
    found = lines(out)
    assert [line["logger"] for line in found] == ["werkzeug", "urllib3.connectionpool", "gevent.pywsgi"]
    assert {(line["event"], line["level"]) for line in found} == {("one of 2", "warning")}
    assert all("timestamp" in line for line in found)


@pytest.mark.parametrize(
    ("level", "heard"),
    [("debug", ["d", "i", "w", "e"]), ("info", ["i", "w", "e"]), ("warn", ["w", "e"]), ("error", ["e"])],
)
def test_levels(level, heard):
    out = io.StringIO()
    logs.setup(level, "json", out)
    for log in (structlog.get_logger("a"), logging.getLogger("b")):
        log.debug("d")
        log.info("i")
        log.warning("w")
        log.error("e")
    assert [line["event"] for line in lines(out)] == heard * 2


def test_context_is_on_every_line():
    out = io.StringIO()
    logs.setup("info", "json", out)
    with structlog.contextvars.bound_contextvars(request_id="r1", leg_id="l1"):
        structlog.get_logger("a").info("ours")
        logging.getLogger("b").info("theirs")
    structlog.get_logger("a").info("after")
    first, second, third = lines(out)
    assert (first["request_id"], first["leg_id"]) == ("r1", "l1")
    assert (second["request_id"], second["leg_id"]) == ("r1", "l1")
    assert "request_id" not in third


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO, True), (Terminal, False)])
def test_auto_is_console_on_a_terminal_only(stream, is_json):
    out = stream()
    logs.setup("info", "auto", out)
    structlog.get_logger("a").info("hello")
    assert out.getvalue().startswith("{") == is_json
    assert "hello" in out.getvalue()


def test_a_chosen_format_holds_anywhere():
    terminal, file = Terminal(), io.StringIO()
    logs.setup("info", "json", terminal)
    structlog.get_logger("a").info("hello")
    assert lines(terminal)[0]["event"] == "hello"
    logs.setup("info", "console", file)
    structlog.get_logger("a").info("hello")
    assert not file.getvalue().startswith("{")
    assert "\x1b[" not in file.getvalue()


def test_standard_output_unless_told_otherwise(capsys):
    logs.setup("info", "json")
    structlog.get_logger("a").info("hello")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["event"] == "hello"
    assert captured.err == ""


def test_a_second_setup_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    logs.setup("info", "json", first)
    log = structlog.get_logger("a")
    log.info("one")
    logs.setup("info", "json", second)
    log.info("two")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(second)] == ["two"]


@pytest.mark.parametrize("fmt", ["json", "console"])
@pytest.mark.parametrize("key", [*sorted(logs.PRIVATE), "Authorization", "PASSWORD"])
def test_private_members_are_redacted(fmt, key):
    out = io.StringIO()
    logs.setup("info", fmt, out)
    log = structlog.get_logger("a")
    log.info("flat", **{key: SECRET})
    log.info("deep", payload={"legs": [{key: SECRET}], "kept": "visible"})
    assert SECRET not in out.getvalue()
    assert out.getvalue().count("[redacted]") == 2
    assert "visible" in out.getvalue()


def test_private_members_of_the_context_are_redacted():
    out = io.StringIO()
    logs.setup("info", "json", out)
    with structlog.contextvars.bound_contextvars(token=SECRET):
        logging.getLogger("b").info("theirs")
    assert lines(out)[0]["token"] == "[redacted]"


def test_what_is_logged_stays_as_it_is():
    out = io.StringIO()
    logs.setup("info", "json", out)
    payload = {"digits": "12", "inner": {"text": "hi"}}
    structlog.get_logger("a").info("command", payload=payload)
    assert payload == {"digits": "12", "inner": {"text": "hi"}}


def test_debug_shows_content():
    out = io.StringIO()
    logs.setup("debug", "json", out)
    structlog.get_logger("a").debug("dtmf", digits="12")
    assert lines(out)[0]["digits"] == "12"


@pytest.mark.parametrize("level", ["info", "debug"])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("source", [structlog.get_logger, logging.getLogger])
def test_tracebacks_are_there_without_local_variables(level, stream, source):
    out = stream()
    logs.setup(level, "auto", out)
    try:
        fail()
    except RuntimeError:
        source("a").exception("failed")
    assert "RuntimeError: length 7" in out.getvalue()
    assert "in fail" in out.getvalue()
    assert SECRET not in out.getvalue()


def test_values_that_json_does_not_know(capsys):
    out = io.StringIO()
    logs.setup("info", "json", out)
    log = structlog.get_logger("a")
    loop: list = []
    loop.append(loop)
    log.info("one", value="\ud800")
    log.info("two", value=2**70)
    log.info("three", value={1: {"x"}})
    log.info("four", value={(1, 2): 2**70})
    log.info("five", value=loop)
    found = lines(out)
    assert [line["event"] for line in found] == ["one", "two", "three", "four", "five"]
    assert found[0]["value"] == "\ud800"
    assert found[1]["value"] == 2**70
    assert found[2]["value"] == {"1": "{'x'}"}
    assert capsys.readouterr().err == ""
