"""What a service that is one of several must not have in its settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vsi_esl.app import Service
from vsi_esl.config import Config, ConfigError
from vsi_esl.config.cluster import RedisSettings, ServiceSettings, service_name
from vsi_esl.config.settings import HttpSettings, ReplaySettings, StateSettings
from vsi_esl.sharing.several import check

SHARED = Config(
    redis=RedisSettings(host="127.0.0.1"),
    http=HttpSettings(addr="127.0.0.1:8099"),
    state=StateSettings(path=":memory:"),
)


def test_a_service_is_called_after_its_host_and_port_unless_it_has_a_name():
    assert service_name(SHARED.service, 8099).endswith("-8099")
    assert service_name(ServiceSettings(name="a"), 0) == "a"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (replace(SHARED, http=HttpSettings(addr="127.0.0.1:0")), "service.name: is needed"),
        (
            replace(SHARED, replay=ReplaySettings(max_events=100)),
            "replay.max_events: must be 1000 or more with a Redis",
        ),
    ],
)
def test_what_services_cannot_share_is_refused_by_name(config, problem):
    with pytest.raises(ConfigError, match=problem):
        check(config)
    with pytest.raises(ConfigError, match=problem):
        Service(config)
