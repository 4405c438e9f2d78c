"""Fetching over HTTP from servers of all kinds, and the guard against private addresses."""

from __future__ import annotations

import base64
import contextlib
import gzip
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import time

import gevent
import pytest
from gevent.server import StreamServer

from vsi_esl.audio import MediaError
from vsi_esl.audio.fetch import Fetcher, max_age
from vsi_esl.net import NetError
from vsi_esl.net.guard import AddressGuard

OPEN = AddressGuard(True)


class Server:
    """Answers every connection with what `answer` says for the request's head, as it is."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list = []
        self.heads: list[str] = []
        more = {"ssl_context": tls} if tls else {}
        self.server = StreamServer(("127.0.0.1", 0), self._serve, **more)
        self.server.start()
        self.port = self.server.server_port

    def url(self, path: str = "/a.wav", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def _serve(self, sock, _) -> None:
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                data = sock.recv(4096)
                if not data:
                    return
                head += data
            self.heads.append(head.decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if callable(answer):
                answer(sock)
            else:
                sock.sendall(answer)
        except OSError:
            pass  # the client had enough
        finally:
            sock.close()


def http(body: bytes = b"", status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return http(status=status, Location=location)


@pytest.fixture
def server():
    one = Server()
    yield one
    one.server.stop()


@pytest.fixture
def silent(server):
    """An address where nothing answers on the server's port: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.9", server.port))
        listener.listen(0)
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(listener.getsockname())
        yield "127.0.0.9"


def fetcher(guard: AddressGuard = OPEN, *, timeout: float = 20, max_bytes: int = 100_000, **more) -> Fetcher:
    return Fetcher(guard, timeout=timeout, max_bytes=max_bytes, **more)


def refused(url: str, by: Fetcher | None = None, validators: dict | None = None) -> str:
    with pytest.raises(MediaError) as caught:
        (by or fetcher()).get(url, validators or {})
    return caught.value.message


# -- answers --


def test_a_file(server):
    server.answers = [
        http(
            b"audio",
            Content_Type="audio/wav",
            ETag='"1"',
            Last_Modified="yesterday",
            Cache_Control="public, max-age=60",
        )
    ]
    response = fetcher().get(server.url("/a b.wav?x=1#y"), {})
    assert (response.status, response.body, response.content_type) == (200, b"audio", "audio/wav")
    assert (response.etag, response.last_modified, response.max_age) == ('"1"', "yesterday", 60)
    lines = server.heads[0].split("\r\n")
    assert lines[0] == "GET /a%20b.wav?x=1 HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}" in lines
    assert "Accept-Encoding: identity" in lines


def test_chunks_and_no_length(server):
    head = b"HTTP/1.1 200 OK\r\n"
    server.answers = [
        head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        head + b"\r\nabc",
    ]
    assert fetcher().get(server.url(), {}).body == b"abcde"
    assert fetcher().get(server.url(), {}).body == b"abc"


def test_not_modified(server):
    server.answers = [http(status="304 Not Modified", ETag='"1"')]
    response = fetcher().get(server.url(), {"If-None-Match": '"1"'})
    assert (response.status, response.body, response.max_age) == (304, b"", None)
    assert 'If-None-Match: "1"' in server.heads[0]
    assert refused(server.url()) == "fetch audio: status 304"


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial Content", "301 Moved", "404 No", "500 Error"]
)
def test_other_statuses(server, status):
    server.answers = [http(status=status)]
    assert refused(server.url()) == f"fetch audio: status {status[:3]}"


@pytest.mark.parametrize("coding", ["gzip", "GZip", " x-gzip "])
@pytest.mark.parametrize("size", [0, 1, 70_000, 100_000])
def test_gzip_is_decoded(server, coding, size):
    body = os.urandom(size // 2) + bytes(size - size // 2)
    two = gzip.compress(body[:1000]) + gzip.compress(body[1000:])
    server.answers = [http(gzip.compress(body), Content_Encoding=coding), http(two, Content_Encoding=coding)]
    for _ in "12":
        assert fetcher().get(server.url(), {}).body == body


def test_a_few_bytes_of_gzip_that_are_too_many(server):
    server.answers = [http(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")]
    assert refused(server.url()) == "fetch audio: larger than 100000 bytes"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (gzip.compress(b"audio")[:-3], "answer is cut short"),
        (b"RIFF", "the answer is not valid gzip"),
        (gzip.compress(b"audio") + b"RIFF", "the answer is not valid gzip"),
    ],
    ids=["cut", "something else", "something behind"],
)
def test_what_is_no_gzip(server, body, message):
    server.answers = [http(body, Content_Encoding="gzip")]
    assert refused(server.url()) == f"fetch audio: {message}"


@pytest.mark.parametrize("coding", ["identity", "br", "utf-8", "audio/wav", "gzip, gzip"])
def test_other_codings_are_ignored(server, coding):
    server.answers = [http(b"RIFF", Content_Encoding=coding)]
    assert fetcher().get(server.url(), {}).body == b"RIFF"


# -- interim answers --


@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing", "103 Early Hints", "199 Odd"])
@pytest.mark.parametrize("times", [1, 16])
def test_an_interim_answer_is_not_the_answer(server, interim, times):
    before = f"HTTP/1.1 {interim}\r\nLink: </x>; rel=preload\r\n\r\n".encode() * times
    server.answers = [before + http(b"audio", ETag='"1"')]
    response = fetcher().get(server.url(), {})
    assert (response.status, response.body, response.etag) == (200, b"audio", '"1"')


def test_interim_answers_without_end_end(server):
    server.answers = [endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")]
    assert refused(server.url()) == "fetch audio: not a valid HTTP answer"


def test_another_protocol_is_an_answer(server):
    server.answers = [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"]
    assert refused(server.url()) == "fetch audio: status 101"


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("", "", None),
        ("public", "", None),
        ("max-age=60", "", 60),
        ('Public, Max-Age="60"', "20", 40),
        ("max-age=60", "100", 0),
        ("max-age=60, no-cache", "", 0),
        ("no-store", "", 0),
        ("max-age=-1", "", None),
        ("max-age=99999999999999999999", "", 365 * 86400),
    ],
)
def test_max_age(cache_control, age, seconds):
    assert max_age(cache_control, age) == seconds


# -- limits --


def endless(head: bytes, piece: bytes):
    def answer(sock):
        sock.sendall(head)
        while True:
            sock.sendall(piece)

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        http(b"", length=100_001),
        http(b"x" * 100_001),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 50_000),
        endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        endless(CHUNKED + b"ffffffff\r\n", b"x" * 4096),
    ],
)
def test_too_large(server, answer):
    server.answers = [answer]
    assert refused(server.url()) == "fetch audio: larger than 100000 bytes"


def test_as_large_as_allowed(server):
    server.answers = [http(b"x" * 100_000)]
    assert len(fetcher().get(server.url(), {}).body) == 100_000


def hang(*pieces: bytes):
    def answer(sock):
        for piece in pieces:
            sock.sendall(piece)
        while sock.recv(4096):
            pass

    return answer


def drip(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        sock.sendall(b"x")
        gevent.sleep(0.02)


@pytest.mark.parametrize(
    "answer",
    [hang(), hang(b"HTTP/1.1 200"), hang(http(b"x", length=10)), hang(CHUNKED, b"5"), drip],
    ids=["silence", "half a head", "half a body", "half a chunk", "drops"],
)
def test_too_slow(server, answer):
    server.answers = [answer]
    started = time.monotonic()
    assert refused(server.url(), fetcher(timeout=0.3)) == "fetch audio: no complete answer within 0.3 s"
    assert time.monotonic() - started < 20


def test_a_slow_name_server():
    def slow(host, port):
        gevent.sleep(60)
        return []

    by = fetcher(timeout=0.2, resolver=slow)
    assert refused("http://a.example/", by) == "fetch audio: no complete answer within 0.2 s"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (http(b"abc", length=10), "answer is cut short"),
        (CHUNKED + b"10\r\nabc", "answer is cut short"),
        (b"", "connection closed without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "not a valid HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "not a valid HTTP answer"),
        (endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500), "not a valid HTTP answer"),
        (endless(CHUNKED, b"1" * 4096), "not a valid HTTP answer"),
    ],
)
def test_broken_answers(server, answer, message):
    server.answers = [answer]
    assert refused(server.url()) == f"fetch audio: {message}"


def test_nobody_there(server):
    server.server.stop()
    assert refused(server.url()) == "fetch audio: connection refused"


def test_no_such_host():
    assert refused("http://host.invalid/a.wav") == "fetch audio: cannot resolve the host name"


# -- URLs --


@pytest.mark.parametrize(
    "url",
    ["", "a.wav", "//h/a", "file:///etc/passwd", "ftp://h/a", "data:audio/wav,x", "gopher://127.0.0.1:1/"],
)
def test_other_schemes(url):
    assert refused(url) == "fetch audio: only http and https URLs are supported"


@pytest.mark.parametrize("url", ["http://", "http:///a", "http://h:99999/", "http://[::1/", "http://h:port/"])
def test_bad_urls(url):
    assert refused(url) == "fetch audio: invalid URL"


def test_line_ends_in_a_url_stay_in_it(server):
    server.answers = [http(b"x")]
    fetcher().get(server.url("/a\r\nX-Evil: 1"), {})
    assert "X-Evil: 1" not in server.heads[0].split("\r\n")


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("u:p", "u:p"),
        ("us%65r%40example:p%3Aa%2fs%25s", "user@example:p:a/s%s"),
        ("u:p:q", "u:p:q"),
        ("u", "u:"),
        (":p", ":p"),
        ("%C3%BC:\u00e9", "\u00fc:\u00e9"),
    ],
)
def test_userinfo_is_decoded(server, userinfo, pair):
    server.answers = [http(b"x")]
    fetcher().get(server.url(host=f"{userinfo}@127.0.0.1"), {})
    sent = base64.b64encode(pair.encode()).decode()
    assert f"Authorization: Basic {sent}" in server.heads[0].split("\r\n")


def test_userinfo_is_sent_and_not_told(server):
    server.answers = [http(b"x"), http(status="404 No")]
    url = server.url(host="user:secret@127.0.0.1")
    fetcher().get(url, {})
    assert "authorization: basic dXNlcjpzZWNyZXQ=".lower() in server.heads[0].lower()
    assert "secret" not in refused(url)
    server.server.stop()
    assert "secret" not in refused(url)


def test_a_url_goes_out_as_it_was_written(server):
    server.answers = [http(b"x")]
    path = "/a%2fb%2F/../c/./d;v=1,2/é e%zz?sig=a%2fb+c%3D&x=[1]|é&&y='#part"
    fetcher().get(server.url(path), {})
    sent = "/a%2fb%2F/../c/./d;v=1,2/%C3%A9%20e%25zz?sig=a%2fb+c%3D&x=[1]%7C%C3%A9&&y='"
    assert server.heads[0].split("\r\n")[0] == f"GET {sent} HTTP/1.1"


def test_a_host_with_other_than_ascii_letters(server):
    asked = []

    def resolver(host, port):
        asked.append(host)
        return ["127.0.0.1"]

    server.answers = [http(b"x")]
    fetcher(resolver=resolver).get(server.url(host="Bücher.example"), {})
    assert asked == ["xn--bcher-kva.example"]
    assert f"Host: xn--bcher-kva.example:{server.port}" in server.heads[0]


# -- redirects --


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/caf\u00e9?x=\u00fc", "/caf%C3%A9?x=%C3%BC"),  # UTF-8 that nobody encoded
        ("/caf%C3%A9%2f", "/caf%C3%A9%2f"),
        ("d/../e", "/e"),
        ("?x", "/a?x"),
    ],
)
def test_where_a_location_leads(server, location, path):
    server.answers = [redirect(location), http(b"x")]
    fetcher().get(server.url("/a"), {})
    assert server.heads[1].split()[1] == path


def test_a_whole_location_is_taken_as_it_is(server):
    server.answers = [redirect(server.url("/%2e%2f/../x?")), http(b"x")]
    fetcher().get(server.url("/a"), {})
    assert server.heads[1].split()[1] == "/%2e%2f/../x?"


def test_a_location_in_no_encoding_at_all(server):
    server.answers = [redirect("/caf\u00e9").replace(b"\xc3\xa9", b"\xe9"), http(b"x")]
    fetcher().get(server.url("/a"), {})
    assert server.heads[1].split()[1] == "/caf%E9"


def test_redirects_are_followed(server):
    server.answers = [
        redirect("/b"),
        redirect(server.url("/c"), "301 Moved"),
        redirect("d", "308 Moved"),
        http(b"x"),
    ]
    assert fetcher().get(server.url("/a"), {}).body == b"x"
    assert [head.split()[1] for head in server.heads] == ["/a", "/b", "/c", "/d"]


def test_credentials_stay_with_their_host(server):
    server.answers = [redirect(server.url("/b", "localhost")), http(b"x")]
    fetcher(resolver=lambda host, port: ["127.0.0.1"]).get(server.url(host="u:p@127.0.0.1"), {})
    assert ["uthorization" in head for head in server.heads] == [True, False]


def test_too_many_redirects(server):
    server.answers = [redirect("/again")]
    assert refused(server.url()) == "fetch audio: more than 5 redirects"
    assert len(server.heads) == 6


def test_redirects_are_checked(server):
    server.answers = [redirect("http://10.0.0.1/secret")]
    guard = AddressGuard(False, [ipaddress.ip_network("127.0.0.0/8")])
    expected = "fetch audio: 10.0.0.1 has a private address (10.0.0.1), which is not allowed"
    assert refused(server.url(), fetcher(guard)) == expected


def test_redirects_to_other_schemes(server):
    server.answers = [redirect("file:///etc/passwd")]
    assert refused(server.url()) == "fetch audio: only http and https URLs are supported"


# -- addresses --

PRIVATE = """
127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 255.255.255.255
224.0.0.1 239.1.1.1 240.0.0.1 192.0.2.1 198.18.0.1 ::1 :: fe80::1 fc00::1 fd12::1 ff02::1 fec0::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 2002:0a00:0001:: 2002:7f00:1:: ::10.0.0.1
2001:db8::1 2001::1 100::1 ::8.8.8.8 4000::1 192.0.0.9 192.0.0.170 192.88.99.1 198.51.100.1 203.0.113.1
2001:20::1 2001:1::1 3fff::1 3fff:fff::1 5f00::1 64:ff9b::127.0.0.1 ::ffff:100.64.0.1 ::ffff:0.0.0.0
fe80::1%1 ::ffff:127.0.0.1%1
""".split()
PUBLIC = (
    "8.8.8.8 100.128.0.1 172.32.0.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:0808:0808::1"
    " 1.0.0.1 223.255.255.255 192.0.1.1 198.20.0.1 2001:200::1 3fff:1000::1 2001:4860:4860::8888"
).split()


@pytest.mark.parametrize("ip", PRIVATE)
def test_private_addresses(ip):
    with pytest.raises(NetError) as caught:
        AddressGuard(False).check("h.example", ip)
    expected = f"fetch audio: h.example has a private address ({ip}), which is not allowed"
    assert caught.value.message == expected
    OPEN.check("h.example", ip)


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_addresses(ip):
    AddressGuard(False).check("h.example", ip)


@pytest.mark.parametrize("ip", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"])
def test_allowed_networks(ip):
    guard = AddressGuard(False, [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/16")])
    guard.check("h.example", ip)
    with pytest.raises(NetError, match="private"):
        guard.check("h.example", "192.168.0.1")


def test_what_is_no_address():
    with pytest.raises(NetError, match=r"^deliver: h has no usable address$"):
        AddressGuard(False).check("h", "nonsense", "deliver")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0"])
def test_local_servers_are_not_asked(server, host):
    server.answers = [http(b"secret")]
    assert "has a private address" in refused(server.url(host=host), fetcher(AddressGuard(False)))
    assert server.heads == []


def test_one_private_address_among_public_ones_is_refused():
    by = fetcher(AddressGuard(False), resolver=lambda host, port: ["8.8.8.8", "10.0.0.1"])
    assert "private address (10.0.0.1)" in refused("http://h.example/", by)


def test_the_checked_address_is_the_one_connected_to(server):
    answers = iter([["127.0.0.1"], ["8.8.8.8"]])
    asked = []

    def rebinding(host, port):
        asked.append(host)
        return next(answers)

    server.answers = [http(b"x")]
    assert fetcher(resolver=rebinding).get(server.url(host="h.example"), {}).body == b"x"
    assert asked == ["h.example"]
    assert f"Host: h.example:{server.port}" in server.heads[0]


def test_a_dead_first_address_does_not_take_its_share_of_the_time(server, silent):
    server.answers = [http(b"x")]
    by = fetcher(timeout=60, resolver=lambda host, port: [silent, "127.0.0.1"])
    with gevent.Timeout(20):
        assert by.get(server.url(host="h.example"), {}).body == b"x"


def test_all_addresses_dead(server, silent):
    by = fetcher(timeout=0.5, resolver=lambda host, port: [silent] * 3)
    assert refused(server.url(host="h.example"), by) == "fetch audio: no complete answer within 0.5 s"


@pytest.mark.parametrize("addresses", [["8.8.8.8", "10.0.0.1"], ["2606:4700::1", "8.8.8.8", "fd00::1"]])
def test_every_address_is_checked_before_the_first_is_tried(addresses):
    by = fetcher(AddressGuard(False), timeout=0.5, resolver=lambda host, port: addresses)
    assert "has a private address" in refused("http://h.example/", by)


def test_the_next_address_is_tried(server):
    server.answers = [http(b"x")]
    by = fetcher(resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    assert by.get(server.url(host="h.example"), {}).body == b"x"


def test_a_host_without_addresses():
    by = fetcher(resolver=lambda host, port: [])
    assert refused("http://h.example/", by) == "fetch audio: cannot resolve h.example"


# -- TLS --


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    place = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=h.example -keyout key -out cert"
    command += " -addext subjectAltName=DNS:h.example"
    subprocess.run(command.split(), cwd=place, check=True, capture_output=True)
    return place


@pytest.fixture
def secure(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    one = Server(context)
    yield one
    one.server.stop()


@pytest.fixture
def trusting(certificate):
    context = ssl.create_default_context(cafile=str(certificate / "cert"))
    return fetcher(tls=context, resolver=lambda host, port: ["127.0.0.1"])


def test_tls_with_the_name_in_the_url(secure, trusting):
    secure.answers = [http(b"x")]
    assert trusting.get(secure.url(host="h.example", scheme="https"), {}).body == b"x"


def test_tls_with_another_name(secure, trusting):
    secure.answers = [http(b"x")]
    message = refused(secure.url(host="other.example", scheme="https"), trusting)
    assert message.startswith("fetch audio: certificate not valid: Hostname mismatch")
    assert secure.heads == []


def test_tls_of_unknown_authorities(secure):
    secure.answers = [http(b"x")]
    by = fetcher(resolver=lambda host, port: ["127.0.0.1"])
    message = refused(secure.url(host="h.example", scheme="https"), by)
    assert message.startswith("fetch audio: certificate not valid: self")
    assert secure.heads == []


def test_no_tls_behind_https(server, trusting):
    server.answers = [http(b"x")]
    server.server.stop()
    plain = StreamServer(("127.0.0.1", 0), lambda sock, _: sock.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))
    plain.start()
    message = refused(f"https://h.example:{plain.server_port}/", trusting)
    plain.stop()
    assert message.startswith("fetch audio: ")
    assert "TLS" in message or "reset" in message


def test_no_redirect_from_https_to_http(server, secure, trusting):
    secure.answers = [redirect(server.url())]
    server.answers = [http(b"x")]
    message = refused(secure.url(host="h.example", scheme="https"), trusting)
    assert message == "fetch audio: redirect from https to http refused"
    assert server.heads == []
