"""The reverse proxies of deploy/, in front of a service: TLS, WebSockets, addresses, health, logs."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest
import websocket

from tests.support import certs
from tests.support.drivers import eventually
from tests.support.ending import ended_on_error
from tests.support.ports import free_port
from tests.support.receiver import Receiver
from tests.support.service import address, signed
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.config.settings import VsiSettings
from vsi_esl.net.connect import trust

DEPLOY = Path(__file__).parents[2] / "deploy"
NGINX, HAPROXY = DEPLOY / "nginx" / "vsi-esl.conf", DEPLOY / "haproxy" / "vsi-esl.cfg"
SEVERAL = DEPLOY / "haproxy" / "vsi-esl-several.cfg"
TOKEN = new_token()
CLIENT, OTHER = "127.0.0.2", "127.0.0.3"
"""Where requests come from: the proxies are at 127.0.0.1."""
START_S = 20.0


class Proxy:
    """One of deploy/'s in front of a service: what is in its file, with other ports and paths."""

    def __init__(self, kind: str, directory: Path, *upstream: int, health: bool = True) -> None:
        self.port = free_port()
        self.directory = directory
        self._health = "check inter 100ms fall 2 rise 1" if health else ""
        certs.make(directory)
        self.tls = ssl.create_default_context(cafile=str(directory / "cafile.pem"))
        check, run = getattr(self, f"_{kind}")(*upstream)
        self.checked = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
        assert self.checked.returncode == 0, self.checked.stderr
        self._process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with ended_on_error(self._process):
            eventually(self._listens, "the proxy listens", START_S)

    def _nginx(self, upstream: int) -> tuple[list[str], list[str]]:
        text = changed(
            NGINX.read_text(),
            (r"listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            (r"listen \[::\]:443 ssl;", ""),
            (r"127\.0\.0\.1:8080", f"127.0.0.1:{upstream}"),
            (r"/etc/ssl/vsi-esl/(fullchain|privkey)\.pem", str(self.directory / "agent.pem")),
            (r"/var/log/nginx", str(self.directory)),
        )
        temporary = "".join(
            f"{name}_temp_path {self.directory}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = self.directory / "nginx.conf"
        main.write_text(
            f"daemon off; master_process off;\npid {self.directory}/pid;\n"
            f"error_log {self.directory}/main.log;\nevents {{}}\nhttp {{\n{temporary}{text}}}\n"
        )
        command = ["nginx", "-e", str(self.directory / "start.log"), "-c", str(main)]
        return [*command, "-t"], command

    def _several(self, *upstream: int) -> tuple[list[str], list[str]]:
        servers = (
            (rf"10\.0\.0\.2{number}:8080", f"127.0.0.1:{port}") for number, port in enumerate(upstream, 1)
        )
        return self._haproxy_of(SEVERAL, *servers, (r"check inter 2s fall 2 rise 1", self._health))

    def _haproxy(self, upstream: int) -> tuple[list[str], list[str]]:
        return self._haproxy_of(
            HAPROXY,
            (r"127\.0\.0\.1:8080", f"127.0.0.1:{upstream}"),
            (r"check inter 2s fall 2 rise 1", self._health),
        )

    def _haproxy_of(self, path: Path, *changes: tuple[str, str]) -> tuple[list[str], list[str]]:
        self._log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._log.bind(("127.0.0.1", 0))
        log_port = self._log.getsockname()[1]
        text = changed(
            path.read_text(),
            (r"bind :443 ssl crt \S+", f"bind 127.0.0.1:{self.port} ssl crt {self.directory / 'agent.pem'}"),
            *changes,
        )
        main = self.directory / "haproxy.cfg"
        main.write_text(f"global\n    log 127.0.0.1:{log_port} local0\n{text}")
        command = ["haproxy", "-f", str(main)]
        return [*command, "-c"], command

    def logged(self, count: int) -> list[str]:
        """Its first lines about requests."""
        if hasattr(self, "_log"):
            self._log.settimeout(20)
            lines = [self._log.recv(65536).decode() for _ in range(count)]
        else:
            path = self.directory / "vsi-esl.log"
            eventually(lambda: path.read_text().count("\n") >= count, "lines of the log")
            lines = path.read_text().splitlines()
        return lines

    def _listens(self) -> bool:
        assert self._process.poll() is None
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)
        if hasattr(self, "_log"):
            self._log.close()

    def get(self, path: str, source: str = CLIENT, **headers: str) -> tuple[int, Any]:
        """Status and body of a request by somebody at an address."""
        client = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=20, context=self.tls, source_address=(source, 0)
        )
        with contextlib.closing(client):
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            client.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}", **sent})
            answer = client.getresponse()
            text = answer.read()
            if "json" not in answer.headers.get("Content-Type", ""):
                return answer.status, text.decode()
            return answer.status, json.loads(text)

    def connect(
        self, query: str = "", source: str = CLIENT, subprotocols: Sequence[str] = (), **headers: str
    ) -> websocket.WebSocket:
        """A VSI client; of a WebSocketBadStatusException it was refused."""
        return websocket.create_connection(
            f"wss://127.0.0.1:{self.port}/v1/vsi{query}",
            timeout=20,
            subprotocols=subprotocols,
            header=[f"{name.replace('_', '-')}: {value}" for name, value in headers.items()],
            socket=self.tls.wrap_socket(
                socket.create_connection(("127.0.0.1", self.port), 20, (source, 0)),
                server_hostname="127.0.0.1",
            ),
        )


def changed(text: str, *changes: tuple[str, str]) -> str:
    for pattern, new in changes:
        text, count = re.subn(pattern, new, text)
        assert count, f"{pattern} is not there"
    return text


@pytest.fixture(params=["nginx", "haproxy"])
def front(request, tmp_path, monkeypatch) -> Iterator[Any]:
    """Puts the proxy in front of a port."""
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/local/sbin", prepend=":")
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    proxies: list[Proxy] = []

    def begin(upstream: int, health: bool = True) -> Proxy:
        proxies.append(Proxy(request.param, tmp_path / f"proxy{len(proxies)}", upstream, health=health))
        return proxies[-1]

    yield begin
    for one in proxies:
        one.stop()


@pytest.fixture
def behind(start):
    """A service for whom the proxy's machine is one, and who lets in one client's address beside it."""
    return start(
        access={
            "tokens": (line_of("crm", "control", TOKEN),),
            "trusted_proxies": (ipaddress.ip_network("127.0.0.1"),),
            "allowed_ips": (ipaddress.ip_network(CLIENT), ipaddress.ip_network("127.0.0.1")),
        }
    )


@pytest.fixture
def proxy(behind, front) -> Proxy:
    made = front(int(address(behind).rpartition(":")[2]))
    # HAProxy's first look at /readyz is still to come
    eventually(lambda: made.get("/v1/legs")[0] == 200, "the service is reached")
    return made


def test_commands_and_events(proxy, switch):
    client = proxy.connect(Authorization=f"Bearer {TOKEN}")
    with contextlib.closing(client):
        assert json.loads(client.recv())["type"] == "connected"
        client.send(json.dumps({"type": "list_legs", "request_id": "1"}))
        assert json.loads(client.recv())["request_id"] == "1"
        switch.call()
        ringing = json.loads(client.recv())
        assert ringing["type"] == "leg.ringing"
        status, legs = proxy.get("/v1/legs")
        assert (status, [leg["id"] for leg in legs]) == (200, [ringing["leg_id"]])


def test_who_asks_is_who_is_connected_to_the_proxy(proxy):
    for forged in ({}, {"X_Forwarded_For": CLIENT}, {"X_Forwarded_For": "127.0.0.1"}):
        assert proxy.get("/v1/legs", source=OTHER, **forged)[0] == 403
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            proxy.connect(source=OTHER, Authorization=f"Bearer {TOKEN}", **forged)
        assert refused.value.status_code == 403
    assert proxy.get("/v1/legs", X_Forwarded_For=OTHER)[0] == 200, "nor can one make oneself another"


def test_tokens_and_their_place_in_logs(proxy):
    assert proxy.get("/v1/legs", Authorization="Bearer nonsense")[0] == 401
    client = proxy.connect(f"?token={TOKEN}")  # with the proxy's address as its origin, as a page from there
    client.recv()
    client.close()
    proxy.get("/v1/rooms")
    lines: list[str] = []

    def all_there() -> bool:
        """In no order: a WebSocket has its line when both its sides are closed."""
        lines.extend(proxy.logged(1))
        return all(any(path in line for line in lines) for path in ("/v1/vsi", "/v1/rooms"))

    eventually(all_there, "the lines of both")
    everything = "".join([*lines, *(path.read_text() for path in proxy.directory.glob("*.log"))])
    assert TOKEN not in everything


def test_the_console_and_its_socket(proxy):
    status, page = proxy.get("/console", Authorization="")
    assert status == 200 and "<script" in page
    with contextlib.closing(proxy.connect(subprotocols=["vsi", f"bearer.{TOKEN}"])) as client:
        assert client.subprotocol == "vsi"
        assert json.loads(client.recv())["type"] == "connected"


def test_metrics_are_for_this_machine(proxy):
    assert proxy.get("/metrics")[0] == 403
    assert proxy.get("/metrics", source="127.0.0.1")[0] == 200


def test_a_service_that_is_not_ready(proxy, behind, switch):
    client = proxy.connect(Authorization=f"Bearer {TOKEN}")
    with contextlib.closing(client):
        client.recv()
        switch.stop()
        eventually(lambda: proxy.get("/readyz")[0] == 503, "the switch is missed")
        client.send(json.dumps({"type": "list_rooms", "request_id": "2"}))
        with gevent.Timeout(20):
            while json.loads(client.recv()).get("request_id") != "2":
                pass  # who is connected stays so


def test_clients_are_at_any_of_several_services(site, monkeypatch, tmp_path):
    """New ones at the service that has the fewest, none at one that is not ready. Who lost its service goes
    on at another with the events that it has not seen."""
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/local/sbin", prepend=":")
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    access = {"tokens": (line_of("crm", "control", TOKEN),)}
    sites = [site(name, access=access) for name in ("east", "west")]
    east, west = sites
    made = Proxy("several", tmp_path / "proxy", *(int(one.address.rpartition(":")[2]) for one in sites))
    with contextlib.ExitStack() as held:
        held.callback(made.stop)
        eventually(lambda: made.get("/v1/legs")[0] == 200, "a service is reached")

        def at(one: Any) -> int:
            return len(one.service.http._sessions)

        def connect(query: str = "") -> websocket.WebSocket:
            client = made.connect(query, Authorization=f"Bearer {TOKEN}")
            held.callback(client.shutdown)
            assert json.loads(client.recv())["type"] == "connected"
            return client

        eventually(lambda: (connect(), at(east) and at(west))[1] > 0, "both have clients")
        before = at(west)
        there = connect()
        there = there if at(west) == before else connect()
        peer = west.switch.call()
        ringing = json.loads(there.recv())
        assert ringing["type"] == "leg.ringing"
        east.service.stop()
        peer.hang_up()
        eventually(lambda: made.get("/v1/legs")[0] == 200, "the other one is reached")
        again = connect(f"?since={ringing['event_id']}")
        assert json.loads(again.recv())["type"] == "leg.disconnected"
        count = at(west)
        for _ in range(3):
            connect()
        assert at(west) == count + 3
        assert made.get("/metrics", source="127.0.0.1")[0] == 403


@pytest.fixture
def trusting(monkeypatch) -> Iterator[Any]:
    """Has the service trust an authority, as that of the system."""

    def trust_in(path: Path) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        trust.cache_clear()

    yield trust_in
    trust.cache_clear()


def test_a_webhook_receiver_behind_it(trusting, front, start, switch):
    receiver = Receiver()
    try:
        made = front(receiver.port, health=False)
        trusting(made.directory / "cafile.pem")
        url = f"https://127.0.0.1:{made.port}/hook"
        start(webhooks={"url": url, "secret": "for the test", "backoff_min": 0.05})
        switch.call()
        taken = receiver.wait(lambda: receiver.taken and receiver.taken[0], "webhook")
        assert taken.event["type"] == "leg.ringing"
        assert signed(taken, "for the test")
    finally:
        receiver.stop()


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (NGINX, ("proxy_read_timeout", "proxy_send_timeout")),
        (HAPROXY, ("timeout tunnel",)),
        (SEVERAL, ("timeout tunnel",)),
    ],
    ids=["nginx", "haproxy", "several"],
)
def test_a_silent_websocket_is_older_than_its_pings(path, names):
    for name in names:
        (found,) = re.findall(rf"^ *{name}\s+(\w+);?$", path.read_text(), re.MULTILINE)
        assert seconds(found) > 2 * VsiSettings().ping_interval
