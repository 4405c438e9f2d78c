"""Settings: precedence, checks, secrets, and messages a person can act on."""

from __future__ import annotations

import io
import json

import pytest
import structlog

from vsi_esl.access import tokens
from vsi_esl.config import ConfigError, describe, example_yaml, load
from vsi_esl.config.sections import all_settings
from vsi_esl.ops import logs


def problems(path=None, **environ) -> list[str]:
    with pytest.raises(ConfigError) as wrong:
        load(path, environ)
    return str(wrong.value).splitlines()


def write(tmp_path, text: str) -> str:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return str(path)


def test_defaults():
    config = load(None, {}).config
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8080)
    assert (config.switch.port, config.switch.backoff_min, config.switch.backoff_max) == (8021, 0.25, 10.0)
    assert config.vsi.event_buffer_size == 256
    assert config.vsi.max_frame_bytes == 1 << 20
    assert config.rooms.default_sample_rate == 16000
    assert config.sip.codecs == ("PCMU", "PCMA", "G722", "opus")
    assert load(None, {}).config.instance_id != config.instance_id


def test_environment_beats_file_beats_default(tmp_path):
    path = write(tmp_path, "switch:\n  port: 1000\n  host: 10.0.0.1\nlog:\n  level: debug\n")
    loaded = load(path, {"VSI_ESL_SWITCH_PORT": "2000", "INSTANCE_ID": "pbx1"})
    assert (loaded.config.switch.port, loaded.config.switch.host) == (2000, "10.0.0.1")
    assert loaded.config.instance_id == "pbx1"
    assert loaded.sources["switch.port"] == "environment"
    assert loaded.sources["switch.host"] == "file"
    assert loaded.sources["http.addr"] == "default"


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("VSI_EVENT_BUFFER_SIZE", "1", 16),
        ("VSI_EVENT_BUFFER_SIZE", "9999999", 1_000_000),
        ("VSI_ESL_MAX_FRAME_BYTES", "64KiB", 65536),
        ("VSI_ESL_WRITE_TIMEOUT", "250ms", 0.25),
        ("VSI_ESL_WRITE_TIMEOUT", "2m", 120.0),
        ("SIP_AUTO_RINGING", "Yes", True),
        ("SIP_AUTO_RINGING", "off", False),
        ("SIP_CODECS", "opus, pcma", ("opus", "PCMA")),
        ("HTTP_ADDR", ":8080", ":8080"),
        ("HTTP_ADDR", "[::1]:80", "[::1]:80"),
    ],
)
def test_values(name, given, read):
    loaded = load(None, {name: given})
    found = {row["variable"]: row["key"] for row in describe(loaded)}[name]
    value = loaded.config
    for part in found.split("."):
        value = getattr(value, part)
    assert value == read


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("VSI_EVENT_BUFFER_SIZE", "many"),
        ("VSI_ESL_SWITCH_PORT", "0"),
        ("VSI_ESL_SWITCH_PORT", "65536"),
        ("VSI_ESL_WRITE_TIMEOUT", "soon"),
        ("VSI_ESL_MAX_FRAME_BYTES", "0"),
        ("HTTP_ADDR", "8080"),
        ("HTTP_ADDR", "::1:80"),
        ("HTTP_ADDR", "x:99999"),
        ("DEFAULT_SAMPLE_RATE", "44100"),
        ("LOG_LEVEL", "loud"),
        ("SIP_CODECS", ","),
        ("SIP_AUTO_RINGING", "maybe"),
        ("VSI_ESL_SOFIA_PROFILE", "a b"),
    ],
)
def test_bad_values_name_the_setting_and_what_is_allowed(name, given):
    (line,) = problems(**{name: given})
    assert line.startswith(f"{name}: {given!r}: must ")


def test_all_problems_are_told_at_once(tmp_path):
    path = write(tmp_path, "http:\n  adress: x\nswich:\n  port: 1\n")
    lines = problems(path, LOG_LEVEL="x", VSI_ESL_SWITCH_PROT="1")
    assert lines == [
        'unknown key "http.adress"; did you mean "http.addr"?',
        'unknown key "swich.port"; did you mean "switch.port"?',
        'unknown variable "VSI_ESL_SWITCH_PROT"; did you mean "VSI_ESL_SWITCH_PORT"?',
        "LOG_LEVEL: 'x': must be one of debug, info, warn, error",
    ]


def test_backoff_bounds():
    (line,) = problems(VSI_ESL_BACKOFF_MIN="20s")
    assert "backoff_max" in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "line 1"),
        ("http:\n  addr: x\n  addr: y", 'line 3, column 3: key "addr" twice'),
        ("- a", "key: value"),
    ],
)
def test_files_that_are_no_settings(tmp_path, text, told):
    (line,) = problems(write(tmp_path, text))
    assert told in line


def test_a_missing_file():
    (line,) = problems("/nowhere/settings.yaml")
    assert line == "/nowhere/settings.yaml: No such file or directory"


def test_an_empty_file_is_fine(tmp_path):
    assert load(write(tmp_path, ""), {}).config.switch.port == 8021


def test_secrets_from_files_and_never_shown(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("pässword\n")
    for loaded in (
        load(None, {"VSI_ESL_SWITCH_PASSWORD_FILE": str(secret)}),
        load(write(tmp_path, f"switch:\n  password_file: {secret}\n"), {}),
    ):
        assert loaded.config.switch.password == "pässword"
        assert "pässword" not in repr(loaded.config)
        assert "pässword" not in str(describe(loaded))
    (line,) = problems(VSI_ESL_SWITCH_PASSWORD_FILE="/nowhere")
    assert line == "VSI_ESL_SWITCH_PASSWORD_FILE: cannot read /nowhere: No such file or directory"
    (line,) = problems(VSI_ESL_SWITCH_PASSWORD_FILE=str(secret), VSI_ESL_SWITCH_PASSWORD="x")
    assert line.endswith("VSI_ESL_SWITCH_PASSWORD is given as well")


def test_secrets_that_systemd_has_for_the_service(tmp_path, monkeypatch):
    (tmp_path / "vsi_password").write_text("geheim\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    text = "switch:\n  password_file: credential:vsi_password\n"
    assert load(write(tmp_path, text), {}).config.switch.password == "geheim"
    variable = {"VSI_ESL_SWITCH_PASSWORD_FILE": "credential:vsi_password"}
    assert load(None, variable).config.switch.password == "geheim"
    for name, why in {
        "another": "No such file or directory",
        "../vsi_password": "must be the name of a credential",
        "": "must be the name of a credential",
        "..": "must be the name of a credential",
    }.items():
        (line,) = problems(VSI_ESL_SWITCH_PASSWORD_FILE=f"credential:{name}")
        assert line == f"VSI_ESL_SWITCH_PASSWORD_FILE: cannot read credential:{name}: {why}"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    (line,) = problems(**variable)
    assert "credential:vsi_password: systemd has not started this; root finds those of the running" in line


SECRET = tokens.new_token()


@pytest.mark.parametrize("key", [key for key, _ in all_settings()])
def test_a_secret_in_the_wrong_place_is_not_said(tmp_path, key):
    """Whatever setting it was pasted into: neither in a problem nor in a warning."""
    section, _, name = key.rpartition(".")
    indent = "  " if section else ""
    variable = dict(all_settings())[key].metadata["env"]
    line = f"crm:control:{SECRET}"
    told: list[str] = []
    for value in (SECRET, line):
        for given in (f'"{value}"', f'["{value}"]', f'{{"{value}": x}}', f'["{value}", 1, {{a: b}}]'):
            text = f"{section}:\n" * bool(section) + f"{indent}{name}: {given}\n"
            told += _told(write(tmp_path, text), {})
        told += _told(None, {variable: value}) + _told(None, {f"{variable}_FILE": value})
    assert SECRET[4:30] not in "\n".join(told)


def _told(path, environ) -> list[str]:
    try:
        return load(path, environ).warnings
    except ConfigError as wrong:
        return wrong.problems


@pytest.mark.parametrize(
    "text",
    [
        f"{SECRET}: x\n",
        f"{SECRET}\n",
        f"- {SECRET}\n",
        f"access:\n  {SECRET}: x\n",
        f"access:\n  {SECRET}: x\n  {SECRET}: y\n",
        f"access:\n  {SECRET}\n",
        f"access.{SECRET}: x\n",
        f"access:\n  tokens:\n    {SECRET}:\n      control\n",
        f"access:\n  tokens:\n    - {SECRET}\n   - b\n",
        f"? [{SECRET}]\n: x\n",
        f"*{SECRET}\n",
        f"a: !{SECRET} x\n",
        f"'{SECRET}\n",
    ],
)
def test_a_secret_in_a_broken_file_is_not_said(tmp_path, text):
    told = problems(write(tmp_path, text))
    assert SECRET[4:30] not in "\n".join(told)


def test_variables_whose_subject_is_the_switch_are_named():
    warnings = load(None, {"SIP_PORT": "5060", "RTP_PORT_MIN": "1"}).warnings
    assert warnings == [
        "SIP_PORT has no effect here: set sip-port of the SIP profile in FreeSWITCH",
        "RTP_PORT_MIN has no effect here: set rtp-start-port in switch.conf in FreeSWITCH",
    ]


def test_the_example_loads_with_and_without_its_comments(tmp_path):
    text = example_yaml()
    assert load(write(tmp_path, text), {}).config.http.port == 8080
    live = "\n".join(
        line.replace("# ", "", 1) if '"' in line and ": " in line else line for line in text.splitlines()
    )
    live = "\n".join(line for line in live.splitlines() if not line.rstrip().endswith(")"))
    loaded = load(write(tmp_path, live.replace("ClueCon", "x")), {})
    assert loaded.config.switch.password == "x"


def test_tracebacks_are_one_line_of_json():
    out = io.StringIO()
    try:
        logs.setup("info", "json", out)
        try:
            raise ValueError("broken")
        except ValueError:
            structlog.get_logger("x").exception("failed")
        (line,) = out.getvalue().splitlines()
    finally:
        logs.setup("warn", "json")
    assert "ValueError: broken" in json.loads(line)["exception"]
