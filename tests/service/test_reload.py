"""Settings read again while calls and clients are there (SIGHUP)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.receiver import Receiver
from tests.support.service import address, http, signed
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.app import Service
from vsi_esl.cli.reload import Reloader
from vsi_esl.config import Config, ConfigError
from vsi_esl.config.live import live, with_live
from vsi_esl.config.loading import Loaded
from vsi_esl.config.sections import all_settings, value_of, with_values

STAYS, GOES, COMES = (new_token() for _ in range(3))


@pytest.fixture
def reload() -> Callable[..., None]:
    """Have a service take over its settings with some of them changed, given as `section={name: value}`."""

    def reload_settings(service: Service, **sections: dict[str, Any]) -> None:
        sources = dict.fromkeys((key for key, _ in all_settings()), "file")
        after = service.config
        for section, values in sections.items():
            after = with_values(after, section, **values)
        Reloader(service, Loaded(service.config, sources, []), lambda: Loaded(after, sources, []))()

    return reload_settings


def test_tokens_come_and_go_and_the_others_notice_nothing(start, reload):
    stays, goes = line_of("stays", "control", STAYS), line_of("goes", "control", GOES)
    comes = line_of("comes", "read", COMES)
    service = start(access={"tokens": (stays, goes)})
    clients = [VsiClient(address(service), f"?token={token}") for token in (STAYS, GOES)]
    reload(service, access={"tokens": (stays, comes)})
    assert clients[1].closed.wait(20)
    assert clients[1].close_code == 1008
    clients[0].ok("create_room", id="r")
    clients[0].event("room.created", room_id="r")
    assert http(service, GOES)("GET", "/v1/rooms").status == 401
    assert http(service, COMES)("GET", "/v1/rooms").status == 200
    for client in clients:
        client.close()


def test_a_token_that_may_something_else_has_to_connect_again(start, reload):
    service = start(access={"tokens": (line_of("one", "control", STAYS),)})
    client = VsiClient(address(service), f"?token={STAYS}")
    reload(service, access={"tokens": (line_of("one", "read", STAYS),)})
    assert client.closed.wait(20)
    assert client.close_code == 1008
    client.close()
    assert http(service, STAYS)("GET", "/v1/rooms").status == 200


def test_the_first_token_ends_what_came_in_without_one(service, connect, reload):
    client = connect(service)
    reload(service, access={"tokens": (line_of("one", "control", STAYS),)})
    assert client.closed.wait(20)
    assert http(service)("GET", "/v1/rooms").status == 401


def test_calls_follow_the_new_settings(switch, start, connect, reload):
    receiver = Receiver()
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    reload(
        service,
        webhooks={"url": receiver.url("/new"), "secret": "first"},
        rooms={"default_sample_rate": 8000},
    )
    client.ok("create_room", id="r")
    assert signed(receiver.event("room.created", room_id="r"), "first")
    assert service.ctx.rooms.get("r").sample_rate == 8000
    reload(service, webhooks={"secret": "second"})
    client.ok("delete_leg", id=leg)
    assert signed(receiver.event("leg.disconnected", leg_id=leg), "second")
    assert "BYE" in peer.seen or peer.wait("BYE") is None
    receiver.stop()


def test_what_needs_a_restart_is_left_as_it_is(service, reload, log):
    before = service.config
    reload(service, switch={"port": 1}, speech={"detection_enabled": True})
    assert service.config.switch == before.switch
    assert service.config.speech.detection_enabled
    assert service.ctx.config is service.config
    (line,) = log.named("settings reloaded")
    assert line["changed"] == ["speech.detection_enabled"]
    assert line["need_a_restart"] == ["switch.port"]


def test_settings_with_an_error_change_nothing_and_say_so(service, connect, log):
    def broken() -> Loaded:
        raise ConfigError(["log.level: 'loud': must be one of debug, info, warn, error"])

    client, before = connect(service), service.config
    Reloader(service, Loaded(before, {}, []), broken)()
    assert service.config is before
    (line,) = log.named("settings not reloaded, nothing was changed")
    assert "loud" in line["problems"][0]
    assert client.ok("list_rooms") == []


def test_the_last_token_is_not_withdrawn_while_strangers_can_connect(start, reload, log):
    tokens = (line_of("one", "control", STAYS),)
    service = start(http={"addr": "0.0.0.0:0"}, access={"tokens": tokens})
    reload(service, access={"tokens": ()})
    assert service.config.access.tokens == tokens
    assert http(service)("GET", "/v1/rooms").status == 401
    (line,) = log.named("settings not reloaded, nothing was changed")
    assert "needs a restart" in line["problems"][0]


def test_every_live_setting_is_one(service, reload):
    assert {"playback.allowed_networks", "webhooks.url", "log.level"} < set(live())
    for key in live():
        assert value_of(with_live(Config(), service.config, [key]), key) == value_of(service.config, key)


def test_the_log_becomes_talkative(service, reload, monkeypatch):
    levels: list[tuple[str, bool]] = []
    monkeypatch.setattr("vsi_esl.ops.logs.setup", lambda level, fmt, numbers: levels.append((level, numbers)))
    reload(service, log={"level": "debug"})
    eventually(lambda: levels == [("debug", False)], "the level is set")
    reload(service, log={"level": "debug", "numbers": True})
    eventually(lambda: levels[1:] == [("debug", True)], "and that numbers are shown")
