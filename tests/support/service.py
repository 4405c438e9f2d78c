"""Looking into a service of the tests' own process; nothing here is for tests/conformance."""

from __future__ import annotations

import hashlib
import hmac
import urllib.error
import urllib.request
from typing import Any

import gevent
from prometheus_client.parser import text_string_to_metric_families as parse

from vsi_esl.live.sessions import Sessions
from vsi_esl.model.sound_stores import Recordings
from vsi_esl.sound.recording.publisher import Publisher

from .drivers import eventually
from .http import HttpClient


def exists(switch, leg):
    return switch.esl(f"uuid_exists {leg}").strip() == "true"


def address(service) -> str:
    return f"127.0.0.1:{service.http.server.server_port}"


def http(service, token: str = "", **headers: str) -> HttpClient:
    given = {"Authorization": f"Bearer {token}"} if token else {}
    return HttpClient(address(service), **given, **headers)


def crash(service) -> None:
    """Leave as kill -9 would: no goodbye, nothing told to the switch, nothing tidied up. Of its greenlets and
    threads none is left for the tests that follow."""
    live, node = service.ctx.get(Sessions), service.ctx.nodes.default
    live._live.clear()  # nobody is told what becomes of them
    node._supervisor.kill()
    node.hurry.stop()
    gevent.killall([*service._sweepers, service._journal._writer])
    for part in (node._events, *node._lanes, node._commands):
        part._on_close = None
        part.close()
    service.ctx.timers.stop()
    service.ctx.workers.stop()
    service.http.stop(0)
    service.ctx.webhooks.abandon()
    service.ctx.history.abandon()
    service.ctx.state.abandon()
    live.pool.stop()  # the workers see that it is gone
    service._thread.stop(1)
    service._loop_watch.stop()
    service.stopped = True


def ready(service) -> bool:
    """What /readyz says to a load balancer."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{service.http.server.server_port}/readyz", timeout=20
        ) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as refused:
        with refused:
            assert refused.code == 503
        return False


def settled(service, leg_id):
    leg = service.ctx.legs.get(leg_id)
    eventually(lambda: leg.channel.parked or leg.channel.conference != "", "the leg is where it stays")


def quiet(service: Any) -> bool:
    """Nothing is recorded, published or remembered any more."""
    ctx = service.ctx
    return not (len(ctx.get(Recordings)) or len(ctx.get(Publisher)) or ctx.state.items("recording"))


def signed(request, secret: str) -> bool:
    expected = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    return request.headers.get("x-signature-256") == f"sha256={expected}"


class Scrape:
    """One reading of /metrics."""

    def __init__(self, service) -> None:
        url = f"http://127.0.0.1:{service.http.server.server_port}/metrics"
        with urllib.request.urlopen(url, timeout=20) as answer:
            self.content_type = answer.headers["Content-Type"]
            text = answer.read().decode()
        self.samples = [sample for family in parse(text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The value of a series, 0 when there is none."""
        found = [s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()]
        return sum(found)
