"""The head of a request, to the letter."""

from __future__ import annotations

import pytest

from vsi_esl.web.framing import BadHead, parse


def lines(*texts: str, first: str = "GET / HTTP/1.1", host: str = "Host: a") -> list[bytes]:
    return [f"{text}\r\n".encode("latin-1") for text in (first, *([host] if host else []), *texts)]


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 1", "Content-Length: 2"),
        ("Content-Length: 1", "content-length: 1"),
        ("Content-Length: 1, 1",),
        ("Content-Length: +5",),
        ("Content-Length: -5",),
        ("Content-Length: 0_5",),
        ("Content-Length: 0x5",),
        ("Content-Length: \xb2",),
        ("Content-Length: 5 5",),
        ("Content-Length:",),
        ("Content-Length: " + "9" * 19,),
        ("Content-Length : 5",),
        ("Content-Length\t: 5",),
        (" Content-Length: 5",),
        ("X: y", " folded: 5"),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: identity",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: \x0bchunked",),
        ("Transfer-Encoding:",),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 0", "Transfer-Encoding: chunked"),
        ("Host: a",),
        ("no field",),
        (": empty",),
        ("a b: c",),
        ("a: \x00",),
        ("a: b\rc: d",),
        ("é: d",),
    ],
)
def test_fields_that_could_be_read_in_two_ways(fields):
    with pytest.raises(BadHead) as caught:
        parse(lines(*fields))
    assert caught.value.status == "400 Bad Request"


@pytest.mark.parametrize(
    "first",
    [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / HTTP/1.10",
        "GET / http/1.1",
        "G(T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET \x00 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET v1/legs HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "GET http:a HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "GET http://[/ HTTP/1.1",
        "CONNECT a:80 HTTP/1.1",
        "",
    ],
)
def test_request_lines_that_are_none(first):
    with pytest.raises(BadHead):
        parse(lines(first=first))


@pytest.mark.parametrize("host", ["", "Host: a b", "Host: a/b", "Host: u@a", "Host: [::1", "Host: a:b"])
def test_hosts_that_are_none(host):
    with pytest.raises(BadHead):
        parse(lines(host=host))


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        ("/v1/rooms?a=b", "/v1/rooms?a=b", "a"),
        ("//metrics", "//metrics", "a"),
        ("http://b:80/v1/rooms?a=b", "/v1/rooms?a=b", "b:80"),
        ("HTTP://b/%2f?x#y", "/%2f?x", "b"),
        ("http://b", "/", "b"),
        ("http://b?x", "/?x", "b"),
        ("https://[::1]:1//x", "//x", "[::1]:1"),
    ],
)
def test_targets(target, path, host):
    head = parse(lines("X: y", first=f"GET {target} HTTP/1.1"))
    assert head.target == path
    assert [value for name, value in head.fields if name.lower() == "host"] == [host]


def test_what_a_head_says():
    head = parse(lines("Content-Length: 05", "a:\t b c \t", "é".encode().decode("latin-1").join(("x: ", ""))))
    assert (head.method, head.version, head.length, head.chunked) == ("GET", "HTTP/1.1", 5, False)
    assert head.fields[2:] == [("a", "b c"), ("x", "é".encode().decode("latin-1"))]
    assert parse(lines("Transfer-Encoding: Chunked")).chunked
    assert parse(lines()).length is None
    assert parse(lines(first="OPTIONS * HTTP/1.1")).target == "*"


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: Upgrade , Close",), False),
        ("1.1", ("Connection: x", "Connection: close"), False),
        ("1.0", (), False),
        ("1.0", ("Connection: Keep-Alive",), True),
        ("1.2", (), True),
    ],
)
def test_whether_the_connection_goes_on(version, fields, keep_alive):
    assert parse(lines(*fields, first=f"GET / HTTP/{version}")).keep_alive is keep_alive


def test_http_1_0():
    assert parse(lines(first="GET / HTTP/1.0", host="")).fields == []
    with pytest.raises(BadHead):
        parse(lines("Transfer-Encoding: chunked", first="POST / HTTP/1.0"))


def test_many_fields():
    assert len(parse(lines(*["a: b"] * 99)).fields) == 100
    with pytest.raises(BadHead) as caught:
        parse(lines(*["a: b"] * 100))
    assert caught.value.status.startswith("431")
