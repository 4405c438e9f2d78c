"""The log: one renderer for all, and nothing private in it."""

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import gevent
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from vsi_esl.events.legs import LegConnected
from vsi_esl.ops import logs, privacy
from vsi_esl.ops.journal import MAX_WAITING, Journal
from vsi_esl.work.workers import Workers

SECRET = "hunter2"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Give the other tests their log set-up back."""
    root = logging.getLogger()
    before = structlog.get_config(), list(root.handlers), root.level
    lowest = dict(logs._lowest)
    yield
    logs._lowest.update(lowest)
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


@pytest.mark.parametrize(("level", "count"), [("debug", 1), ("info", 0), ("warn", 0), ("error", 0)])
def test_events_are_in_the_log_at_the_levels_that_show_them(level, count):
    out = io.StringIO()
    event = LegConnected(leg_id="a", leg_type="sip_inbound")
    journal = Journal()
    logs.setup("error", "json", out)
    journal.keep(event, "1", b"")
    logs.setup(level, "json", out)  # as a reload does
    journal.keep(event, "2", b"")
    journal.close()
    assert [line["event_id"] for line in lines(out)] == ["2"] * count


def test_events_wait_for_their_line_in_order_with_the_ids_of_then_and_not_for_long():
    out = io.StringIO()
    logs.setup("debug", "json", out)
    journal = Journal()
    event = LegConnected(leg_id="a", leg_type="sip_inbound")
    numbers = list(map(str, range(MAX_WAITING - 1)))
    for number in numbers:
        with logs.bind(request_id=number):
            journal.keep(event, number, b"")
    assert lines(out) == []
    journal.keep(event, "last", b"")  # as many as wait at most: nobody else has had a turn
    assert [line["event_id"] for line in lines(out)] == [*numbers, "last"]
    assert [line.get("request_id") for line in lines(out)] == [*numbers, None]
    journal.keep(event, "later", b"")
    gevent.idle()
    assert lines(out)[-1]["event_id"] == "later"
    journal.close()


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
    with logs.bind(request_id="r1", leg_id="l1"):
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
@pytest.mark.parametrize("key", [*sorted(privacy.PRIVATE), "Authorization", "PASSWORD"])
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
    with logs.bind(token=SECRET):
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


@pytest.mark.parametrize(
    "key",
    [
        "sip_auth_password",
        "X-Secret",
        "webhook-token",
        "s3_access_key",
        "s3_secret_key",
        "Cookie",
        "credentials",
    ],
)
def test_names_that_contain_a_private_word(key):
    out = io.StringIO()
    logs.setup("info", "json", out)
    structlog.get_logger("a").info("x", payload={key: SECRET}, **{key: SECRET})
    assert SECRET not in out.getvalue()


@pytest.mark.parametrize("key", ["key", "context", "detail", "tokenise", "author", "leg_id", "event"])
def test_names_that_only_look_like_it(key):
    assert not privacy.private(key)


def test_headers_keep_their_names():
    out = io.StringIO()
    logs.setup("info", "json", out)
    structlog.get_logger("a").info("x", headers={"X-Account": SECRET}, leg={"sip_headers": {"X-B": SECRET}})
    assert SECRET not in out.getvalue()
    assert lines(out)[0]["headers"] == {"X-Account": "[redacted]"}


def test_private_above_debug_whatever_the_level_is():
    out = io.StringIO()
    logs.setup("debug", "json", out)
    for log in (structlog.get_logger("a"), logging.getLogger("b")):
        log.warning("no answer within 5 s: auth hunter2")
    structlog.get_logger("a").info("x", digits=SECRET)
    assert SECRET not in out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "no answer within 5 s: auth hunter2",
        "auth hunter2",
        "no answer within 5 s: api uuid_send_dtmf 0a-1b hunter2",
        "no answer within 5 s: api uuid_send_text 0a-1b dear hunter2",
        "Authorization: Bearer hunter2",
        "{'Authorization': 'Basic hunter2'}",
        "took bearer hunter2 from it",
        "job: originate {a=b,sip_auth_password=hunter2,c=d}",
        "originate {sip_auth_password='x, hunter2'}",
        r"originate {sip_auth_password=x\,hunter2}",
        "https://user:hunter2@example.com/x",
        "https://hunter2@example.com/x",
        "https://example.com/x?X-Amz-Signature=hunter2&a=b",
        '{"token": "hunter2"}',
    ],
)
@pytest.mark.parametrize("fmt", ["json", "console"])
def test_known_forms_in_strings(text, fmt):
    out = io.StringIO()
    logs.setup("info", fmt, out)
    log = structlog.get_logger("a")
    log.info("x", error=text)
    log.info("x", nested=[{"error": text}])
    log.info("x", error=RuntimeError(text))
    logging.getLogger("b").info("%s", text)
    assert SECRET not in out.getvalue()
    assert out.getvalue().count("[redacted]") == 4


@pytest.mark.parametrize(
    "text", ["auth failed", "sip:example.com", "authentication", "no token", "the password was refused"]
)
def test_other_text_stays(text):
    out = io.StringIO()
    logs.setup("info", "json", out)
    structlog.get_logger("a").info("x", error=f"it: {text.removeprefix('auth ')}")
    assert "[redacted]" not in out.getvalue()


def raise_with(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        KeyError("hunter2"),
        ValueError("invalid literal for int() with base 10: 'hunter2'"),
        ValueError('bad value "hunter2"'),
        RuntimeError("it's 'hunter2'"),
        RuntimeError("cannot parse b'hunter2'"),
    ],
)
@pytest.mark.parametrize("fmt", ["json", "console"])
def test_what_an_error_quotes_is_left_out(error, fmt):
    out = io.StringIO()
    logs.setup("info", fmt, out)
    try:
        try:
            raise_with(error)
        except Exception as caught:
            raise OSError("the cause is above") from caught
    except OSError:
        structlog.get_logger("a").exception("failed")
        logging.getLogger("b").exception("failed")
    text = out.getvalue()
    assert SECRET not in text
    assert text.count(type(error).__name__ + ":") == 2
    assert text.count("OSError: the cause is above") == 2
    assert text.count("direct cause") == 2


def test_names_in_code_stay_in_errors():
    out = io.StringIO()
    logs.setup("info", "json", out)
    try:
        None.missing  # noqa: B018
    except AttributeError as error:
        structlog.get_logger("a").error("failed", exc_info=error)
    assert "'NoneType' object has no attribute 'missing'" in lines(out)[0]["exception"]


def test_errors_that_go_in_circles_or_cannot_speak():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    out = io.StringIO()
    logs.setup("info", "json", out)
    first, second = ValueError("first"), Mute()
    first.__cause__, second.__cause__ = second, first
    structlog.get_logger("a").error("failed", exc_info=first)
    assert "ValueError: first" in lines(out)[0]["exception"]
    assert "(no message)" in lines(out)[0]["exception"]


def test_what_the_command_brought_is_taken_out():
    out = io.StringIO()
    logs.setup("info", "json", out)
    payload = {
        "id": "leg-1",
        "digits": "4711#",
        "auth": {"username": "alice7", "password": "it's\nhunter2"},
        "headers": {"X-Account": "acc-99"},
        "text": "ab",
        "amount": {"token": [1, "deep-secret"]},
    }
    log = structlog.get_logger("a")
    with logs.bind(guard=payload, request_id="r1"):
        log.info("sent 4711# for leg-1 to acc-99")
        log.info("x", value=["alice7", {"y": "it's\nhunter2"}, "deep-secret", ("4711#",)])
        try:
            raise RuntimeError(f"not {payload['auth']['password']!r} but 4711#")
        except RuntimeError:
            log.exception("failed")
    log.info("4711# again")
    text = "\n".join(out.getvalue().splitlines()[:-1])
    for secret in ("4711#", "alice7", "hunter2", "acc-99", "deep-secret"):
        assert secret not in text
    assert "leg-1" in lines(out)[0]["event"]
    assert lines(out)[-1]["event"] == "4711# again"


def test_values_of_clients_are_shortened():
    out = io.StringIO()
    logs.setup("info", "json", out)
    with logs.bind(command="c" * 1000, request_id="r" * 1000, leg_id="l" * 1000):
        structlog.get_logger("a").info("x", value="v" * 100_000)
    (line,) = lines(out)
    assert [len(line[name]) for name in ("command", "request_id", "leg_id")] == [privacy.MAX_ID] * 3
    assert len(line["value"]) == privacy.MAX_VALUE
    assert line["request_id"].endswith("…")


def test_contexts_nest():
    out = io.StringIO()
    logs.setup("info", "json", out)
    log = structlog.get_logger("a")
    with logs.bind(leg_id="one", request_id=""):
        with logs.bind(leg_id="two"):
            log.info("x")
        log.info("x")
    assert [line["leg_id"] for line in lines(out)] == ["two", "one"]
    assert "request_id" not in lines(out)[0]


def test_work_that_is_queued_has_the_context_of_whoever_asked_for_it():
    out = io.StringIO()
    logs.setup("info", "json", out)

    def work() -> None:
        gevent.sleep(0)
        structlog.get_logger("a").info("sent 4711#")

    with logs.bind(guard={"digits": "4711#"}, request_id="r1", leg_id="l"):
        asked = Workers().submit("l", work)
    asked.get(timeout=20)
    gevent.spawn(work).join(20)
    first, second = lines(out)
    assert (first["request_id"], first["leg_id"], first["event"]) == ("r1", "l", "sent [redacted]")
    assert "request_id" not in second


def test_a_terminal_is_told_nothing_but_text():
    out = Terminal()
    logs.setup("info", "console", out)
    structlog.get_logger("a").info("x", value="a\x1b[2Jb", other="one\rtwo")
    logging.getLogger("b").info("first\nsecond\x1b[2J \u00e9")
    try:
        raise RuntimeError("\x1b[2J")
    except RuntimeError:
        structlog.get_logger("a").exception("failed")
    assert "\x1b[2J" not in out.getvalue() and "\r" not in out.getvalue()
    assert "first\\nsecond" in out.getvalue()


def test_libraries_that_print_requests_are_quiet():
    out = io.StringIO()
    logs.setup("debug", "json", out)
    for name in logs.TALKATIVE:
        logging.getLogger(f"{name}.inner").debug("everything")
    assert out.getvalue() == ""


def test_what_a_greenlet_fails_with_is_a_line_and_counted(monkeypatch, capfd):
    monkeypatch.setattr(logs, "survived", Counter())
    hub = gevent.get_hub()
    monkeypatch.setattr(hub, "print_exception", hub.print_exception)
    out = io.StringIO()
    logs.setup("info", "json", out)
    logs.take_greenlet_errors()

    def work() -> None:
        raise ValueError(f"no number: {SECRET!r}")

    gevent.spawn(work).join()
    gevent.spawn(gevent.sleep, 10).kill()
    (line,) = lines(out)
    assert (line["event"], line["level"]) == ("greenlet failed", "error")
    assert line["greenlet"].endswith("work")
    assert "ValueError: no number: '[redacted]'" in line["exception"]
    assert logs.survived == {("greenlets", "greenlet failed"): 1}
    assert "ValueError" not in "".join(capfd.readouterr())


@given(st.text() | st.text("authorizbeknpwds:= \t/@", max_size=30) | st.text("+0123456789?.", max_size=12))
def test_a_string_that_is_not_looked_at_has_nothing_private(text):
    if privacy.BARE.match(text):
        assert not any(forms.search(text) for forms in (privacy.FORMS, privacy.QUERIES, privacy.NUMBERS))


def test_the_words_bearer_token_are_no_token():
    assert privacy.FORMS.sub("x", "a bearer token is required") == "a bearer token is required"
    assert "abc" not in privacy.FORMS.sub(privacy._keep_the_start, "Bearer abc")


NAMING = [
    "cannot dial sip:+15550100@example.com",
    "<tel:+1-555-0100>",
    "invalid SIP URI or number: '+15550100'",
    "+15550100",
]


@pytest.mark.parametrize("text", NAMING)
def test_who_called_whom_is_hidden_unless_that_is_set(text):
    for numbers in (False, True):
        out = io.StringIO()
        logs.setup("info", "json", out, numbers=numbers)
        structlog.get_logger("a").info("x", error=text, nested={"caller": "Grete"})
        assert ("0100" in out.getvalue()) is ("Grete" in out.getvalue()) is numbers
    logs.setup("info", "json", out)


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
def test_what_a_url_says_behind_its_path_is_hidden(scheme):
    out = io.StringIO()
    logs.setup("info", "json", out, numbers=True)
    structlog.get_logger("a").info("x", error=f"GET {scheme}://me:pw@host/path?key=abc123 failed")
    assert lines(out)[0]["error"] == f"GET {scheme}://[redacted]@host/path?[redacted] failed"
    logs.setup("info", "json", out)
