"""`vsi-esl support`: no secret that is known, and none that looks like one, is in the bundle."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
from dataclasses import replace
from urllib.parse import quote

import pytest

from vsi_esl.cli.support import bundle, collect, secrets
from vsi_esl.cli.support.collect import Asked, NotHere, Part
from vsi_esl.cli.support.masking import Mask
from vsi_esl.config import Config, load
from vsi_esl.config.sections import all_settings
from vsi_esl.delivery.webhooks.outbox import Changes, Outbox
from vsi_esl.delivery.webhooks.targets import Target
from vsi_esl.delivery.webhooks.write_ahead import Arrival
from vsi_esl.model.leg import Leg, Webhook
from vsi_esl.storage.state import StateStore

HASH = "0123456789abcdef" * 4


def value_for(key: str) -> str:
    """A value for a secret setting that nothing else has."""
    if key == "access.tokens":
        return f"crm:control:{HASH}"
    if key == "redis.url":
        return "rediss://planted.redis.example:6379"
    return f'Planted/{key}&"7'


@pytest.fixture
def planted(tmp_path, thread):
    """Every secret that the settings know, and those of the files; and a configuration with them."""
    environ = {"VSI_ESL_STATE_PATH": str(tmp_path / "state.sqlite3")}
    values = {}
    for key, item in all_settings():
        if item.metadata["secret"]:
            values[key] = environ[item.metadata["env"]] = value_for(key)
    assert len(values) >= 8
    environ["WEBHOOK_URL"] = "https://hooks.example/services/T0SECRETPATH?key=querysecret"
    loaded = load(None, environ)
    state = StateStore(loaded.config.state.path, thread)
    leg = Leg("leg-1", "sip_inbound", 1.0, webhook=Webhook("https://a.example/x", "leg webhook secret"))
    state.save_legs([leg])
    state.save_item("recording", "rec-1", {"s3": {"secret_key": "item secret key"}, "n": 1})
    state.flush()
    state.close()
    outbox = Outbox(str(tmp_path / "webhooks.sqlite3"))
    target = Target("https://b.example:443/", "leg-1", "https://b.example/y", "outbox webhook secret")
    outbox.write(Changes(added=[Arrival(1, target, "e", "leg.ringing", 1.0, b'{"from":"+15550111222"}')]))
    outbox.close()
    known = [HASH if key == "access.tokens" else value for key, value in values.items()]
    known += ["leg webhook secret", "item secret key", "outbox webhook secret"]
    return loaded, known


def forms(secret: str) -> list[str]:
    return [
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode()).decode().rstrip("="),
    ]


LOOKS_LIKE_ONE = {
    "sofia": ("<password>gwpass1</password>", "gwpass1"),
    "xml": ('<param name="sip-password" value="gwpass2"/>', "gwpass2"),
    "columns": ("  Password  \tgwpass3", "gwpass3"),
    "assignment": ("DATABASE_PASSWORD='gw pass4' next", "gw pass4"),
    "json": ('{"api_key": "gw-pass5", "level": "info"}', "gw-pass5"),
    "bearer": ("Authorization: Bearer gwpass6.abc", "gwpass6"),
    "basic": ("authorization: Basic Z3dwYXNzNw==", "Z3dwYXNzNw"),
    "url": ("postgres://user:gwpass8@db.example/x", "gwpass8"),
    "path": ("POST https://hooks.example/services/T00/gwpass9 failed", "gwpass9"),
    "query": ("wss://pbx.example/v1/vsi?token=gwpass10", "gwpass10"),
    "token": ("client sent vsi_Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MEZvb0Jhcl8tYmF", "vsi_Zm9v"),
    "aws": ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
    "openai": ("sk-proj-abcdefghijklmnop1234", "abcdefghijklmnop"),
    "jwt": ("x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "eyJzdWIi"),
    "pem": ("-----BEGIN PRIVATE KEY-----\nMIIEgwpass11\n-----END PRIVATE KEY-----", "gwpass11"),
    "e164": ("call from +15550100123 ended", "5550100123"),
    "spaced": ("call from +1 (555) 010-0124 ended", "010-0124"),
    "bare": ("destination 004915550100125", "15550100125"),
    "sip": ("INVITE sip:15550100126@10.0.0.1 SIP/2.0", "15550100126"),
    "user": ("To: <sips:alice.smith@pbx.example>", "alice.smith"),
    "tel": ("tel:+1-555-010-0127", "010-0127"),
}


@pytest.mark.parametrize("form", LOOKS_LIKE_ONE)
def test_what_looks_like_a_secret_or_a_number_is_hidden(form):
    text, secret = LOOKS_LIKE_ONE[form]
    assert secret in text
    assert secret not in Mask([]).text(text)
    assert secret not in json.dumps(Mask([]).data({"line": [text]}))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-29T22:35:18.123456Z leg 8b1f4a9e-1234-4123-8123-123456789012 ended",
        "FreeSWITCH 1.10.12 on 10.20.30.40:5060, ws://127.0.0.1:8080",
        "sip:[number 1]@10.0.0.1",
        'vsi_esl_switch_event_lag_seconds_bucket{le="0.001"} 654.0',
        "<url>sip:mod_sofia@127.0.0.1:28282</url>",
        "no password was given, 3 tokens are known",
    ],
)
def test_what_a_report_needs_stays(text):
    assert Mask(["unrelated"]).text(text) == text


def test_a_number_has_the_same_name_throughout():
    mask = Mask([])
    assert mask.text("from +15550100123 to +15550100999") == "from [number 1] to [number 2]"
    assert mask.text("sip:+15550100123@pbx.example again") == "sip:[number 1]@pbx.example again"


def test_short_secrets_are_hidden_where_they_stand_alone():
    assert Mask(["abc"]).text("abc, abcdef, xabc and abc") == "[secret], abcdef, xabc and [secret]"


def test_all_known_secrets_are_found(planted):
    loaded, known = planted
    found = {*secrets.of_settings(loaded.config), *secrets.of_files(loaded.config)}
    assert set(known) <= found
    assert "variable secret" in set(
        secrets.of_environment({"SOME_API_KEY": "variable secret", "PATH": "/bin"})
    )


def test_no_secret_is_in_a_bundle(planted, tmp_path, monkeypatch):
    loaded, known = planted
    monkeypatch.setattr(secrets, "BUSY_TIMEOUT_S", 0.1)
    lines = [form for secret in known for form in forms(secret)]
    lines += [text for text, _ in LOOKS_LIKE_ONE.values()]
    leaky = "\n".join(lines)
    log = tmp_path / "service.log"
    log.write_text(leaky)
    asked = Asked("ws://127.0.0.1:1/v1/vsi", "", "vsi_esl_none", str(log), 5000, loaded)
    parts = [part for part in collect.PARTS if part.name not in ("doctor.json", "packages.txt")]
    parts += [
        Part("said.txt", "a switch", lambda asked: leaky),
        Part("said.json", "a service", lambda asked: {"lines": lines, **dict.fromkeys(known, 1)}),
        Part("failed.txt", "an error", lambda asked: (_ for _ in ()).throw(ValueError(leaky))),
    ]
    mask = Mask([*secrets.of_settings(loaded.config), *secrets.of_files(loaded.config)])
    files = bundle.gathered(parts, asked, mask, lambda done, doing: None)
    path = tmp_path / "bundle.tar.gz"
    bundle.write(str(path), files, mask)
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as tar:
        contents = {entry.name: tar.extractfile(entry).read().decode() for entry in tar}
    whole = "\n".join(contents.values())
    for secret in known:
        for form in forms(secret):
            assert form not in whole
    for _, secret in LOOKS_LIKE_ONE.values():
        assert secret not in whole
    for text in ("T0SECRETPATH", "querysecret", "+15550111222"):
        assert text not in whole
    rows = {row["key"]: row for row in json.loads(contents["bundle/settings.json"])}
    assert rows["webhooks.url"]["value"] == "https://hooks.example/..."
    assert json.loads(contents["bundle/state.json"])[loaded.config.state.path]["rows"]["legs"] == 1
    told = json.loads(contents["bundle/manifest.json"])
    assert "readyz.txt" in told["not_collected"] and "failed.txt" in told["not_collected"]
    assert set(told["files"]) == {name.partition("/")[2] for name in contents} - {
        "README.txt",
        "manifest.json",
    }


def test_secrets_of_listed_switches_are_known():
    from vsi_esl.config.settings import ListedSwitch, SwitchSettings

    east = ListedSwitch("east", settings=SwitchSettings(password="eastern secret"))
    assert "eastern secret" in set(secrets.of_settings(replace(Config(), switches=(east,))))


def test_a_collector_that_takes_too_long_or_fails_costs_the_others_nothing():
    import gevent

    parts = [
        Part("slow.txt", "", lambda asked: gevent.sleep(60), seconds=0.05),
        Part("none.txt", "", lambda asked: asked.config),
        Part("good.txt", "", lambda asked: "fine"),
    ]
    asked = Asked("", "", "", "", 1, None, "no such file")
    files = bundle.gathered(parts, asked, Mask([]), lambda done, doing: None)
    assert [one.failure for one in files] == [
        "not done within 0.05 s",
        "the settings cannot be read: no such file",
        "",
    ]
    assert files[2].body == b"fine\n"


def test_a_program_that_is_not_here():
    with pytest.raises(NotHere, match="no-such-program is not on this machine"):
        collect._said("no-such-program")


def test_figures_stay_figures():
    machine = Part("machine.txt", "", lambda asked: "MemTotal: 123456789 kB, api_key: k", figures=True)
    (file,) = bundle.gathered([machine], Asked("", "", "", "", 1, None), Mask([]), lambda done, doing: None)
    assert file.body == b"MemTotal: 123456789 kB, api_key: [secret]\n"
    mask = Mask([])
    line = 'process_start_time_seconds 1732900000.5\nvsi_esl_trunk{name="+15550100123"} 12345678'
    part = Part("metrics.txt", "", lambda asked: line)
    (file,) = bundle.gathered([part], Asked("", "", "", "", 1, None), mask, lambda done, doing: None)
    assert (
        file.body == b'process_start_time_seconds 1732900000.5\nvsi_esl_trunk{name="[number 1]"} 12345678\n'
    )


def test_a_file_that_is_there_is_not_overwritten(tmp_path, say, monkeypatch):
    monkeypatch.setattr(collect, "PARTS", collect.PARTS[:1])
    monkeypatch.setattr("vsi_esl.cli.support.command.PARTS", collect.PARTS[:1])
    path = tmp_path / "there.tar.gz"
    said = say("support", "-o", str(path), VSI_ESL_STATE_PATH=":memory:")
    assert said.code == 0
    assert "versions.json" in said.out and f"tar -xzOf {path}" in said.out
    before = path.read_bytes()
    again = say("support", "-o", str(path), VSI_ESL_STATE_PATH=":memory:")
    assert again.code == 1
    assert "File exists" in again.err
    assert path.read_bytes() == before
    with tarfile.open(fileobj=io.BytesIO(before)) as tar:
        assert tar.getnames()[0] == "there/README.txt"
    assert os.listdir(tmp_path) == ["there.tar.gz"]
