"""The HTTP listener against clients that are slow, many, or unclear about where their requests end."""

from __future__ import annotations

import contextlib
import json
import socket

import gevent
import pytest

from tests.support.http import HttpClient
from tests.support.ports import ipv6_loopback
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.web import handler
from vsi_esl.web import http as http_face

CONFINED, CONTROL = new_token(), new_token()
LINES = (line_of("acme", "control", CONFINED, "acme"), line_of("operator", "control", CONTROL))
TIMEOUT_S = 20.0


def address(service) -> tuple[str, int]:
    return "127.0.0.1", service.http.server.server_port


def shown(service) -> str:
    return f"127.0.0.1:{service.http.server.server_port}"


def http(service, token: str = "", **headers: str) -> HttpClient:
    given = {"Authorization": f"Bearer {token}"} if token else {}
    return HttpClient(shown(service), **given, **headers)


@pytest.mark.skipif(not ipv6_loopback(), reason="no IPv6 on this machine")
def test_the_log_says_where_it_listens_as_a_url_has_it(start, log):
    service = start(http={"addr": "[::1]:0"})
    listening = log.named("listening")[0]["address"]
    assert listening == f"[::1]:{service.http.server.server_port}"
    assert HttpClient(listening)("GET", "/v1/rooms").body == []


@pytest.fixture
def opened():
    """Connect sockets, which are closed at the end."""
    with contextlib.ExitStack() as stack:

        def connect(service, data: bytes = b"", receive_buffer: int = 0) -> socket.socket:
            sock = stack.enter_context(socket.socket())
            sock.settimeout(TIMEOUT_S)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.connect(address(service))
            sock.sendall(data)
            return sock

        yield connect


def until_end(sock: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            received += data
    return received


# -- framing -------------------------------------------------------------------------------------------------


POST = "POST /v1/rooms HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BEHIND = "DELETE /v1/rooms/kept HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        f"{POST}Content-Length: 2\r\nContent-Length: 4\r\n\r\n{{}}  ",
        f"{POST}Content-Length: +2\r\n\r\n{{}}",
        f"{POST}Content-Length: 0_2\r\n\r\n{{}}",
        f"{POST}Content-Length : 2\r\n\r\n{{}}",
        f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        f"{POST}Transfer-Encoding: identity\r\n\r\n",
        f"{POST}X: a\r\n b\r\n\r\n",
        f"{POST}X: a\n\r\n",
        "GET /v1/rooms HTTP/1.1\r\n\r\n",
        "GET /v1/rooms HTTP/1.1\r\nHost: a\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /v1/rooms\r\n\r\n",
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused_and_the_connection_ends(
    service, opened, request_
):
    ask = http(service)
    assert ask("POST", "/v1/rooms", {"id": "kept"}).status == 201
    answers = until_end(opened(service, (request_ + BEHIND).encode()))
    assert answers.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\n" in answers and answers.count(b"HTTP/1.1") == 1
    assert [room["id"] for room in ask("GET", "/v1/rooms").body] == ["kept"], "nothing was done"


@pytest.mark.parametrize(
    "body",
    ["zz\r\n{}\r\n", "\r\n{}", "-1\r\n", "2\r\n{}x0\r\n\r\n", "1;\n\r\n{", "2", "0\r\nbad trailer\r\n\r\n"],
)
def test_a_body_whose_chunks_are_broken_is_refused_and_the_connection_ends(service, opened, body):
    ask = http(service)
    sock = opened(service, f"{POST}Transfer-Encoding: chunked\r\n\r\n{body}".encode())
    sock.shutdown(socket.SHUT_WR)
    answers = until_end(sock)
    assert answers.startswith(b"HTTP/1.1 400 ") and answers.count(b"HTTP/1.1") == 1
    assert ask("GET", "/v1/rooms").body == []


def test_chunks_are_read(service, opened):
    chunks = '4;x=y\r\n{"id\r\n5\r\n":"r"\r\n1\r\n}\r\n0\r\nX: y\r\n\r\n'
    wanted = f"{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}{BEHIND}"
    sock = opened(service, wanted.encode())
    sock.shutdown(socket.SHUT_WR)
    answers = until_end(sock)
    assert b'"id":"r"' in answers
    assert answers.count(b"HTTP/1.1 404") == 1, "the request behind it was answered too"


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [
        (b"GET /" + b"a" * 9000, 414, "request line too long"),
        (b"GET /v1/rooms/" + b"a" * 900_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "request line too long"),
        (HEAD + b"X" * 9000 + b"\r\n\r\n", 400, "header field"),
        (HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431, "head too large"),
        (HEAD + b"X: " + b"y" * 900_000 + b"\r\n\r\n", 431, "head too large"),
        (HEAD + b"X: y\r\n" * 101 + b"\r\n", 431, "too many header fields"),
    ],
    ids=["path", "long path", "no field", "field", "long field", "fields"],
)
def test_a_head_that_is_too_large_is_refused_like_any_request(service, opened, request_, status, error):
    head, _, body = until_end(opened(service, request_)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert f"\r\nContent-Length: {len(body)}".encode() in head
    assert json.loads(body) == {"instance_id": "test-1", "error": error}


def test_absolute_form(service, opened):
    host = shown(service)
    sock = opened(service, f"GET http://{host}/v1/rooms HTTP/1.1\r\nHost: ignored.example\r\n\r\n".encode())
    assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    sock = opened(service, f"GET http://evil.example/v1/rooms HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert sock.recv(65536).startswith(b"HTTP/1.1 403 "), "and it is the host that is asked for"


# -- paths ---------------------------------------------------------------------------------------------------


METRICS = (
    "//metrics", "///metrics", "/%2fmetrics", "/%2Fmetrics", "/%6detrics", "/./metrics", "/%2e/metrics",
    "/x/../metrics", "/metrics/", "/METRICS", "/metrics;x", "/metrics%00", "/metrics?x", "/v1/../metrics",
    "/docs/../metrics", "/docs/%2e%2e/metrics", "//docs/../metrics", "/healthz/../metrics",
)  # fmt: skip


@pytest.mark.parametrize("path", METRICS)
def test_all_forms_of_a_path_are_one_path_or_none(start, opened, path):
    service = start(access={"tokens": LINES})
    for token, statuses in (("", (401, 404)), (CONFINED, (403, 404)), (CONTROL, (200, 404))):
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        head += f"Authorization: Bearer {token}\r\n\r\n" if token else "\r\n"
        answer = until_end(opened(service, head.encode()))
        assert int(answer[9:12]) in statuses, (path, token, answer)
        assert (b"voiceblender" in answer) is (b" 200 " in answer[:16])


@pytest.mark.parametrize(
    "path", ["//v1/rooms", "/%2fv1/rooms", "/v1//rooms", "/v1/%72ooms", "/v1/rooms/", "/v1/./rooms"]
)
def test_no_other_path_is_a_route(service, path):
    assert http(service)("GET", path).status == 404
    assert http(service)("GET", "/v1/rooms").status == 200


@pytest.mark.parametrize("path", ["//v1/vsi", "/v1/%76si", "/v1%2fvsi", "/v1/vsi/"])
def test_no_other_path_is_the_endpoint(service, path):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    assert http(service)("GET", path, **upgrade, Sec_WebSocket_Key=key).status == 404


# -- who asks for whom ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("[::1]:8080", 200),
        ("192.0.2.7", 200),
        ("vsi.example:8080", 200),
        ("VSI.example", 200),
        ("attacker.example", 403),
        ("127.0.0.1.attacker.example", 403),
        ("localhost.attacker.example", 403),
    ],
)
def test_without_tokens_names_must_be_known(start, host, status):
    """DNS rebinding: no origin is sent when a page reads what it thinks is its own server."""
    service = start(access={"allowed_hosts": ("vsi.example",)})
    ask = http(service, Host=host)
    answer = ask("GET", "/v1/rooms")
    assert answer.status == status
    if status == 403:
        assert answer.error[1].startswith("host not allowed")
        assert ask("GET", "/metrics").status == 403
    assert ask("GET", "/healthz").status == 200, "a balancer asks by whatever name, and learns nothing"
    origin = http(service, Host=host, Origin=f"http://{host}")
    assert origin("GET", "/v1/rooms").status == status


def test_any_name_will_do_with_tokens_or_when_all_are_listed(start):
    named = {"Host": "any.example"}
    assert http(start(access={"tokens": LINES}), CONTROL, **named)("GET", "/v1/rooms").status == 200
    for setting in ("allowed_hosts", "allowed_origins"):
        assert http(start(access={setting: ("*",)}), **named)("GET", "/v1/rooms").status == 200


# -- slow and many -------------------------------------------------------------------------------------------


BEGINNINGS = (b"", b"G", b"GET /v1/rooms HTTP/1.1\r\n", b"GET /v1/rooms HTTP/1.1\r\nHost: a\r\nX: y")


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_head_has_a_deadline(service, opened, monkeypatch, beginning):
    """However often a byte of it comes."""
    monkeypatch.setattr(handler, "HEAD_TIMEOUT_S", 0.2)
    sock = opened(service, beginning)
    sock.settimeout(0.02)
    received = None
    with gevent.Timeout(TIMEOUT_S), contextlib.suppress(ConnectionError):
        while received is None:
            try:
                received = sock.recv(65536)
            except TimeoutError:
                if beginning:
                    sock.sendall(b"y")
    assert not received or received.startswith(b"HTTP/1.1 408 ")


def test_a_body_has_a_deadline(start, opened, monkeypatch):
    monkeypatch.setattr(handler, "BODY_TIMEOUT_S", 0.2)
    service = start()
    answer = until_end(opened(service, f"{POST}Content-Length: 100\r\n\r\n{{".encode()))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert http(service)("GET", "/v1/rooms").body == []


def test_the_body_of_who_is_refused_is_not_waited_for(start, opened, monkeypatch):
    monkeypatch.setattr(handler, "DISCARD_TIMEOUT_S", 0.2)
    service = start(access={"tokens": LINES})
    answer = until_end(opened(service, f"{POST}Content-Length: 100000\r\n\r\n{{".encode()))
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("per_address", [0, 20])
def test_health_checks_answer_while_slow_connections_hold_all_places(start, opened, per_address):
    service = start(access={"tokens": LINES, "connections_per_address": per_address})
    slow = [opened(service, BEGINNINGS[number % len(BEGINNINGS)]) for number in range(300)]
    ask = http(service)
    for _ in range(20):
        assert ask("GET", "/healthz").status == 200
        assert ask("GET", "/readyz").status == 200
        slow.append(opened(service, b"POST /v1/legs HTTP/1.1\r\nHost: a\r\n"))
    assert http(service, CONTROL)("POST", "/v1/rooms", {"id": "r"}).status == 201
    table = service.http.server.connections
    assert len(table) <= (per_address or 256)
    assert table.evicted_total >= 60
    assert until_end(slow[0]) == b"", "who waited longest had to go"


def test_health_checks_answer_while_nobody_reads_the_answers(start, opened, monkeypatch):
    """The documents are large and public, and may be asked for many times on one connection."""
    monkeypatch.setattr(http_face, "HTTP_CONNECTIONS", 20)
    service = start(access={"tokens": LINES, "connections_per_address": 0})
    ask = http(service)
    for _ in range(40):
        opened(service, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 100, receive_buffer=2048)
    for _ in range(20):
        assert ask("GET", "/healthz").status == 200
    table = service.http.server.connections
    assert len(table) <= 20 and table.evicted_total >= 20 and not table.refused_total


def test_a_connection_may_be_used_again(service, opened):
    sock = opened(service)
    for _ in range(3):
        sock.sendall(b"GET /v1/rooms HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
