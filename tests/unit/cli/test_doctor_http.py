"""What `vsi-esl doctor` says of access, webhooks and S3."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest

from tests.support.s3server import ACCESS_KEY, SECRET_KEY, clean_environment, scripted
from vsi_esl.cli.doctor_http import http_checks
from vsi_esl.config import Config
from vsi_esl.config.settings import StateSettings
from vsi_esl.config.web import AccessSettings, WebhookSettings
from vsi_esl.delivery.webhooks.outbox import Changes, Outbox
from vsi_esl.delivery.webhooks.targets import Target
from vsi_esl.delivery.webhooks.write_ahead import Arrival
from vsi_esl.ops.findings import FAIL, OK, WARN
from vsi_esl.sound.recording.doctor import bucket
from vsi_esl.sound.recording.settings import S3Settings


@pytest.fixture
def config(tmp_path):
    return Config(state=StateSettings(path=str(tmp_path / "state.sqlite3")))


def found(config: Config) -> dict[str, tuple[str, str]]:
    return {check.name: (check.status, check.detail) for check in http_checks(config)}


def test_nothing_configured(config):
    assert found(config) == {
        "access": ("ok", "no tokens: this machine only"),
        "webhook outbox": ("ok", config.state.path.rpartition("/")[0]),
    }


def test_open_without_tokens_is_worth_a_warning(config):
    opened = replace(config, access=AccessSettings(open_without_tokens=True))
    assert found(opened)["access"][0] == "warning"


def test_a_receiver_that_is_there_and_one_that_is_not(config):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/secret-path"
        there = replace(config, webhooks=WebhookSettings(url=url))
        assert found(there)["webhook receiver"] == ("ok", url.removesuffix("/secret-path"))
    status, detail = found(there)["webhook receiver"]
    assert status == "warning"
    assert "connection refused" in detail.lower()
    assert "secret-path" not in detail


def test_dead_letters_are_worth_a_look(config, tmp_path):
    outbox = Outbox(str(tmp_path / "webhooks.sqlite3"))
    target = Target("http://a.example:80", "leg", "http://a.example/", "")
    new = [Arrival(number, target, f"id{number}", "t", time.time(), b"{}") for number in (1, 2, 3)]
    outbox.write(Changes(added=new))
    assert found(config)["webhook outbox"] == ("ok", "3 waiting, 0 given up")
    outbox.write(Changes(dead=[(1, "status 500")]))
    outbox.close()
    assert found(config)["webhook outbox"] == ("warning", "2 waiting, 1 given up")


def test_an_outbox_that_is_none(config, tmp_path):
    (tmp_path / "webhooks.sqlite3").write_bytes(b"no database" * 1000)
    assert found(config)["webhook outbox"][0] == "failed"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, (OK, "recordings")),
        (403, (WARN, "recordings: S3 answered 403")),
        (500, (WARN, "recordings: S3 answered 500")),
        (404, (FAIL, 's3 bucket does not exist: "recordings"')),
    ],
)
def test_the_bucket(monkeypatch, status, expected):
    clean_environment(monkeypatch)
    with scripted(status) as server:
        settings = S3Settings(
            bucket="recordings", endpoint=server.url, access_key=ACCESS_KEY, secret_key=SECRET_KEY
        )
        (check,) = bucket(Config().having(settings))
    assert (check.status, check.detail) == expected
