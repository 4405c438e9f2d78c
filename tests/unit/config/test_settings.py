"""Settings: what is taken from where, and what each mistake is answered with."""

import dataclasses
import os
import re
from pathlib import Path

import pytest
import yaml

from vsi_esl.access.tokens import line_of
from vsi_esl.config import ConfigError, Loaded, describe, example_yaml, load, reference_table
from vsi_esl.config.elsewhere import SET_IN_FREESWITCH
from vsi_esl.config.given import HIDDEN
from vsi_esl.config.loading import listen_host
from vsi_esl.config.sections import all_settings, sections, value_of
from vsi_esl.config.switches import of_companion, of_entry
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.whatsapp.settings import WhatsAppSettings

SECRET = "hunter2"


@pytest.fixture
def settings_file(tmp_path: Path):
    """Write a settings file, get its path."""

    def write(text: str) -> str:
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        return str(path)

    return write


def problems(path: str | None, environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    assert str(caught.value).splitlines() == caught.value.problems
    return caught.value.problems


def test_defaults():
    loaded = load(None, {})
    config = loaded.config
    assert (config.switch.host, config.switch.port, config.switch.password) == ("127.0.0.1", 8021, "ClueCon")
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8080)
    assert config.vsi.event_buffer_size == 256
    assert config.vsi.max_frame_bytes == 1024 * 1024
    assert config.rooms.default_sample_rate == 16000
    assert config.section(RecordingSettings).dir == os.path.join(
        os.path.dirname(config.state.path), "recordings"
    )
    assert config.sip.codecs == ("PCMU", "PCMA", "G722", "opus")
    assert config.log.level == "info"
    assert not config.sip.auto_ringing
    assert not config.speech.detection_enabled
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == []


def test_every_setting_has_its_own_variable_and_a_help_text():
    items = dict(all_settings())
    variables = [item.metadata["env"] for item in items.values()]
    assert len(items) > 20
    assert len(set(variables)) == len(variables)
    assert all(item.metadata["help"].endswith((".", ").")) for item in items.values())


def test_settings_cannot_be_changed():
    config = load(None, {}).config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.http.addr = ":1"


def test_environment_beats_file_beats_default(settings_file):
    path = settings_file("http: {addr: ':1111'}\nlog: {level: error}\n")
    loaded = load(path, {"HTTP_ADDR": ":2222"})
    assert loaded.config.http.addr == ":2222"
    assert loaded.config.log.level == "error"
    assert loaded.sources["http.addr"] == "environment"
    assert loaded.sources["log.level"] == "file"
    assert loaded.sources["switch.host"] == "default"


def test_an_empty_variable_and_an_empty_key_count_as_not_set(settings_file):
    loaded = load(
        settings_file("http:\n  addr:\nlog:\n"), {"HTTP_ADDR": "", "VSI_ESL_SWITCH_PASSWORD_FILE": ""}
    )
    assert loaded.config.http.addr == "127.0.0.1:8080"
    assert loaded.sources["http.addr"] == "default"


def test_instance_ids_differ_and_can_be_set():
    assert load(None, {}).config.instance_id != load(None, {}).config.instance_id
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", load(None, {}).config.instance_id)
    assert load(None, {"INSTANCE_ID": "pbx1"}).config.instance_id == "pbx1"


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"STATE_DIRECTORY": "/var/lib/vsi", "HOME": "/h"}, "/var/lib/vsi/state.sqlite3"),
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a/state.sqlite3"),
        ({"XDG_STATE_HOME": "/xdg", "HOME": "/h"}, "/xdg/vsi_esl/state.sqlite3"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/vsi_esl/state.sqlite3"),
        ({"HOME": "/h"}, "/h/.local/state/vsi_esl/state.sqlite3"),
        ({"HOME": "/h", "VSI_ESL_STATE_PATH": ":memory:"}, ":memory:"),
    ],
)
def test_state_path(environ, path):
    assert load(None, environ).config.state.path == path


def test_text_is_taken_as_written(settings_file):
    """YAML's own types would make 83, 1.1, a date and a truth value of these."""
    path = settings_file(
        "switch:\n  password: 0123\n  sofia_profile: 1.10\ninstance_id: 2024-13-45\nsip: {domain: no}\n"
    )
    config = load(path, {}).config
    assert config.switch.password == "0123"
    assert config.switch.sofia_profile == "1.10"
    assert config.instance_id == "2024-13-45"
    assert config.sip.domain == "no"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("5", 5.0),
        ("0.5", 0.5),
        ("250ms", 0.25),
        ("5s", 5.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        (" 1 h ", 3600.0),
    ],
)
def test_durations(given, seconds, settings_file):
    assert load(None, {"VSI_ESL_PING_INTERVAL": given}).config.vsi.ping_interval == seconds
    assert load(settings_file(f"vsi: {{ping_interval: {given}}}"), {}).config.vsi.ping_interval == seconds


@pytest.mark.parametrize("given", ["-1", "5x", "1e3", "", "ms", "inf", "9" * 400, "8785h", "5 s s", "٣"])
def test_durations_that_are_none(given):
    if given:
        assert "must be a duration" in problems(None, {"VSI_ESL_HOLD_TIMEOUT": given})[0]


def test_zero_is_for_limits_that_can_be_off():
    assert load(None, {"VSI_ESL_RTP_TIMEOUT": "0"}).config.media.rtp_timeout == 0
    for name in ("VSI_ESL_PING_INTERVAL", "VSI_ESL_COMMAND_TIMEOUT", "VSI_ESL_BACKOFF_MIN"):
        assert problems(None, {name: "0s"}) == [f"{name}: '0s': must be a duration above 0"]


@pytest.mark.parametrize(
    ("given", "size"), [("4096", 4096), ("64KiB", 65536), ("1MiB", 1 << 20), ("1 GiB", 1 << 30)]
)
def test_sizes(given, size):
    assert load(None, {"VSI_ESL_MAX_FRAME_BYTES": given}).config.vsi.max_frame_bytes == size


@pytest.mark.parametrize("given", ["0", "-1", "1KB", "1.5MiB", "2GiB", "9" * 400])
def test_sizes_that_are_none(given):
    assert "must be a size" in problems(None, {"VSI_ESL_MAX_FRAME_BYTES": given})[0]


@pytest.mark.parametrize("word", ["true", "1", "yes", "on", "TRUE", " On "])
def test_true(word, settings_file):
    assert load(None, {"SIP_AUTO_RINGING": word}).config.sip.auto_ringing is True
    assert load(settings_file(f"sip: {{auto_ringing: {word}}}"), {}).config.sip.auto_ringing is True


@pytest.mark.parametrize("word", ["false", "0", "no", "off", "False"])
def test_false(word, settings_file):
    path = settings_file("speech: {detection_enabled: yes}")
    assert load(path, {}).config.speech.detection_enabled is True
    assert load(path, {"SPEECH_DETECTION_ENABLED": word}).config.speech.detection_enabled is False


def test_neither_true_nor_false():
    assert problems(None, {"SIP_AUTO_RINGING": "maybe"}) == [
        "SIP_AUTO_RINGING: 'maybe': must be true/yes/on/1 or false/no/off/0"
    ]


@pytest.mark.parametrize(
    ("given", "host", "port"),
    [
        (":8080", "", 8080),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("[::1]:8080", "::1", 8080),
        ("pbx-1.example.com:65535", "pbx-1.example.com", 65535),
        ("127.0.0.1:0", "127.0.0.1", 0),
    ],
)
def test_addresses(given, host, port):
    http = load(None, {"HTTP_ADDR": given, "VSI_ESL_OPEN_WITHOUT_TOKENS": "true"}).config.http
    assert (http.host, http.port) == (host, port)


@pytest.mark.parametrize("given", ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "pbx-1.example.com:80"])
def test_nobody_listens_openly_by_accident(given):
    (problem,) = problems(None, {"HTTP_ADDR": given})
    assert problem.startswith(f"http.addr: {given!r}: everybody who reaches it could control all calls")
    line = line_of("a", "read", "x")
    for way_out in ({"VSI_ESL_TOKENS": line}, {"VSI_ESL_OPEN_WITHOUT_TOKENS": "yes"}):
        assert listen_host(load(None, {"HTTP_ADDR": given, **way_out}).config)[1] == ""


def test_all_interfaces_are_loopback_only_without_tokens():
    loaded = load(None, {"HTTP_ADDR": ":8080"})
    assert listen_host(loaded.config) == ("127.0.0.1", "")
    assert loaded.warnings == ["http.addr: ':8080': on 127.0.0.1 only, as there are no tokens"]
    guarded = load(None, {"HTTP_ADDR": ":8080", "VSI_ESL_TOKENS": line_of("a", "read", "x")})
    assert listen_host(guarded.config) == ("", "")


@pytest.mark.parametrize("between", [",", ", ", "\n", "\n\n"])
def test_tokens_in_one_text(between):
    lines = (line_of("a", "read", "x", "acme"), line_of("b", "read", "y"))
    assert load(None, {"VSI_ESL_TOKENS": between.join(lines)}).config.access.tokens == lines


@pytest.mark.parametrize(
    "given",
    [
        "8080",
        "host",
        "::1:80",
        "[::1]",
        "[]:80",
        "[host]:80",
        "h:65536",
        "h:",
        "h:x",
        "a b:80",
        "a/b:80",
        "[::1:80",
    ],
)
def test_addresses_that_are_none(given):
    assert problems(None, {"HTTP_ADDR": given})[0].startswith(f"HTTP_ADDR: {given!r}: must be")


@pytest.mark.parametrize(
    ("given", "host"), [("::1", "::1"), ("[::1]", "::1"), ("pbx", "pbx"), ("10.0.0.1", "10.0.0.1")]
)
def test_switch_hosts(given, host):
    assert load(None, {"VSI_ESL_SWITCH_HOST": given}).config.switch.host == host


@pytest.mark.parametrize("given", ["pbx:8021", "a b", "-x", "[pbx]", " "])
def test_switch_hosts_that_are_none(given):
    assert "must be a host name or an IP address" in problems(None, {"VSI_ESL_SWITCH_HOST": given})[0]


@pytest.mark.parametrize(
    "given", ["example.com", "10.0.0.1", "[2001:db8::1]", "example.com:5070", "[::1]:5070"]
)
def test_sip_domains(given):
    assert load(None, {"SIP_DOMAIN": given}).config.sip.domain == given


@pytest.mark.parametrize(
    "given", ["", "sip:10.0.0.1", "SIP:edge.example.com:5080;lr", "sip:[::1];transport=tcp", "sips:edge"]
)
def test_outbound_proxies(given):
    assert load(None, {"SIP_OUTBOUND_PROXY": f" {given} "}).config.sip.outbound_proxy == given


@pytest.mark.parametrize("given", ["edge.example.com", "sip:", "sip:a,sip:b", "sip:h;fs_path=x", "sip:h:0"])
def test_outbound_proxies_that_are_none(given):
    assert "must be a sip: or sips: URI" in problems(None, {"SIP_OUTBOUND_PROXY": given})[0]


@pytest.mark.parametrize("given", ["a b", "x;y=1", "2001:db8::1", ":5060", "u@h", "h:99999", "sip:h"])
def test_sip_domains_that_are_none(given):
    assert "must be a host name" in problems(None, {"SIP_DOMAIN": given})[0]


@pytest.mark.parametrize("given", ["0", "65536", "-1", "80.0", "x", "0x50"])
def test_ports_out_of_range(given):
    assert problems(None, {"VSI_ESL_SWITCH_PORT": given}) == [
        f"VSI_ESL_SWITCH_PORT: {given!r}: must be a whole number from 1 to 65535"
    ]


def test_codecs(settings_file):
    assert load(None, {"SIP_CODECS": "OPUS, pcma,opus"}).config.sip.codecs == ("opus", "PCMA")
    assert load(settings_file("sip: {codecs: [G722, PCMU]}"), {}).config.sip.codecs == ("G722", "PCMU")
    assert "must name codecs of PCMU" in problems(settings_file("sip: {codecs: []}"), {})[0]
    assert "must name codecs of PCMU" in problems(None, {"SIP_CODECS": " , "})[0]


@pytest.mark.parametrize(
    ("given", "used", "left_out"),
    [
        ("iLBC,pcma,G729,PCMA", ("PCMA",), "iLBC, G729 left out"),
        ("G729", ("PCMU", "PCMA", "G722", "opus"), "G729 left out"),
    ],
)
def test_unknown_codecs_are_left_out_with_a_warning(settings_file, given, used, left_out):
    for loaded, where in (
        (load(None, {"SIP_CODECS": given}), "SIP_CODECS: "),
        (load(settings_file(f"sip: {{codecs: [{given}]}}"), {}), "sip.codecs: "),
    ):
        assert loaded.config.sip.codecs == used
        (warning,) = loaded.warnings
        assert warning.startswith(where) and left_out in warning


@pytest.mark.parametrize(("given", "used"), [("16", 16), ("1", 16), ("-4", 16), ("2000000", 1_000_000)])
def test_event_buffer_is_kept_within_bounds(given, used):
    assert load(None, {"VSI_EVENT_BUFFER_SIZE": given}).config.vsi.event_buffer_size == used


def test_choices():
    assert load(None, {"LOG_LEVEL": "DEBUG"}).config.log.level == "debug"
    assert problems(None, {"LOG_LEVEL": "loud"}) == [
        "LOG_LEVEL: 'loud': must be one of debug, info, warn, error"
    ]


def test_all_problems_are_told_at_once(settings_file):
    path = settings_file("http: {adress: x, addr: nowhere}\nlog: {level: loud}\n")
    found = problems(path, {"VSI_ESL_SWITCH_PORT": "x", "VSI_ESL_PING_INTERVALL": "5", "LOG_LEVEL": "info"})
    assert [line.partition(":")[0] for line in found] == [
        'unknown key "http.adress"; did you mean "http.addr"?',
        'unknown variable "VSI_ESL_PING_INTERVALL"; did you mean "VSI_ESL_PING_INTERVAL"?',
        "http.addr",
        "log.level",
        "VSI_ESL_SWITCH_PORT",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("htpp: {addr: ':1'}", 'unknown key "htpp.addr"; did you mean "http.addr"?'),
        ("addr: ':1'", 'unknown key "addr"; did you mean "http.addr"?'),
        ("zzzzzz: 1", 'unknown key "zzzzzz"'),
        ("5: 1", 'unknown key "5"'),
        ("http: 5", "http: must be a section, with its settings indented below it"),
        ("http.addr: ':1'", 'http.addr: write it as "addr" below "http:"'),
        ("http: {addr: {x: 1}}", "http.addr: must be a single value"),
        ("http: {addr_file: x}", 'unknown key "http.addr_file"; did you mean "http.addr"?'),
        ("switch: {host: [a]}", "switch.host: ['a']: must be a single value"),
    ],
)
def test_keys_that_are_wrong(text, problem, settings_file):
    assert problems(settings_file(text), {}) == [problem]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("VSI_ESL_SWITCH_HOTS", "VSI_ESL_SWITCH_HOST"),
        ("VSI_ESL_HTTP_ADDR", "HTTP_ADDR"),
        ("VSI_ESL_LOG_LEVEL", "LOG_LEVEL"),
        ("VSI_ESL_SWITCH_BACKOFF_MIN", "VSI_ESL_BACKOFF_MIN"),
    ],
)
def test_unknown_variables_of_ours(name, meant):
    assert problems(None, {name: "x"}) == [f'unknown variable "{name}"; did you mean "{meant}"?']


def test_variables_that_are_not_ours_or_not_settings():
    environ = {
        "PATH": "/bin",
        "VSI_OTHER": "x",
        "VSI_ESL_CONFIG": "x",
        "VSI_ESL_URL": "x",
        "VSI_ESL_PROGRAM_HINT": "x",
    }
    assert load(None, environ).warnings == []


def test_reference_variables_that_freeswitch_has():
    warnings = load(None, {"SIP_PORT": "5070", "RTP_PORT_MIN": "1000", "ICE_SERVERS": ""}).warnings
    assert warnings == [
        "SIP_PORT has no effect here: set sip-port of the SIP profile in FreeSWITCH",
        "RTP_PORT_MIN has no effect here: set rtp-start-port in switch.conf in FreeSWITCH",
    ]
    assert not set(SET_IN_FREESWITCH) & {item.metadata["env"] for _, item in all_settings()}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("http:\n  addr: ':1'\n  addr: ':2'\n", 3, 3),
        ("log: {}\nhttp: {}\nlog: {}\n", 3, 1),
        ("http:\n\taddr: x\n", 2, 1),
        ("http: [a\n", 2, 1),
        ("a: b: c\n", 1, 5),
        ("? [a]\n: 1\n", 1, 3),
        ("x: !!python/object/apply:os.getcwd []\n", 1, 4),
    ],
)
def test_bad_yaml_is_one_line_with_its_place(text, line, column, settings_file):
    path = settings_file(text)
    (problem,) = problems(path, {})
    assert problem.startswith(f"{path}: line {line}, column {column}: ")


def test_the_key_given_twice_is_named(settings_file):
    assert 'key "addr" twice' in problems(settings_file("http:\n  addr: ':1'\n  addr: ':2'\n"), {})[0]


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "x: !!int y\n", "a: \x00\n", "[" * 5000])
def test_files_that_are_no_settings(text, settings_file):
    path = settings_file(text)
    (problem,) = problems(path, {})
    assert problem.startswith(f"{path}: ")


def test_files_that_cannot_be_read(tmp_path):
    assert problems(str(tmp_path / "none.yaml"), {}) == [f"{tmp_path}/none.yaml: No such file or directory"]
    (tmp_path / "latin1.yaml").write_bytes(b"log: \xe9\n")
    assert problems(str(tmp_path / "latin1.yaml"), {}) == [f"{tmp_path}/latin1.yaml: byte 6 is not UTF-8"]


def test_an_empty_file_is_all_defaults(settings_file):
    assert set(load(settings_file("# nothing\n"), {}).sources.values()) == {"default"}


def test_anchors_and_merge_keys_still_work(settings_file):
    text = "switch: &s {backoff_min: 1s}\nmedia: {rtp_timeout: 5}\n"
    assert load(settings_file(text), {}).config.switch.backoff_min == 1


def test_secrets_from_files(settings_file, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    for loaded, source in (
        (load(settings_file(f"switch: {{password_file: {secret}}}"), {}), "file"),
        (load(None, {"VSI_ESL_SWITCH_PASSWORD_FILE": str(secret)}), "environment"),
        (
            load(settings_file("switch: {password: other}"), {"VSI_ESL_SWITCH_PASSWORD_FILE": str(secret)}),
            "environment",
        ),
    ):
        assert loaded.config.switch.password == SECRET
        assert loaded.sources["switch.password"] == source


@pytest.mark.parametrize("order", [("password", "password_file"), ("password_file", "password")])
def test_a_secret_given_in_both_ways(order, settings_file, tmp_path):
    (tmp_path / "secret").write_text("x")
    values = {"password": SECRET, "password_file": str(tmp_path / "secret")}
    text = "switch:\n" + "".join(f"  {key}: {values[key]}\n" for key in order)
    assert problems(settings_file(text), {}) == ["switch.password_file: switch.password is given as well"]
    environ = {f"VSI_ESL_SWITCH_{key.upper()}": values[key] for key in order}
    (problem,) = problems(None, environ)
    assert "is given as well" in problem
    assert SECRET not in problem


def test_secret_files_that_cannot_be_used(tmp_path):
    cases = {
        "none": (None, "No such file or directory"),
        "binary": (b"\xff", "not UTF-8 text"),
        "long": (b"x" * 70000, "too long for a secret"),
        "empty": (b"\n", "must not be empty"),
        "lines": (f"{SECRET}\nexit\n".encode(), "must not contain line breaks"),
    }
    for name, (content, problem) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        (line,) = problems(None, {"VSI_ESL_SWITCH_PASSWORD_FILE": str(path)})
        assert line.startswith("VSI_ESL_SWITCH_PASSWORD_FILE: ")
        assert problem in line
        assert SECRET not in line


def test_a_password_cannot_start_a_second_command():
    (problem,) = problems(None, {"VSI_ESL_SWITCH_PASSWORD": f"{SECRET}\n\napi shutdown"})
    assert problem.startswith(f"VSI_ESL_SWITCH_PASSWORD: {HIDDEN}: ")


@pytest.mark.parametrize(
    "written",
    [
        f"*{SECRET}",
        f"!{SECRET} x",
        f"{{{SECRET}}}",
        f"{{{SECRET}: {SECRET}}}",
        f"[{SECRET}]",
        f"'{SECRET}",
        f"x: {SECRET}",
        f"%{SECRET}",
    ],
)
def test_no_mistake_with_a_secret_shows_it(written, settings_file):
    assert SECRET not in "\n".join(problems(settings_file(f"switch:\n  password: {written}\n"), {}))


@pytest.mark.parametrize(
    "text", [f"switch: {SECRET}", f"switch: [{SECRET}]", f"switch: {{password_file: {SECRET}}}"]
)
def test_a_secret_in_the_wrong_place_is_not_shown(text, settings_file):
    assert SECRET not in "\n".join(problems(settings_file(text), {}))
    assert SECRET not in "\n".join(problems(None, {"VSI_ESL_SWITCH_PASSWORD_FILE": SECRET}))


def test_secrets_are_not_shown(settings_file):
    loaded = load(settings_file(f"switch: {{password: {SECRET}}}"), {})
    assert loaded.config.switch.password == SECRET
    assert SECRET not in repr(loaded)
    rows = {row["key"]: row for row in describe(loaded)}
    assert rows["switch.password"]["value"] == HIDDEN
    assert SECRET not in str(rows)


def test_settings_that_do_not_go_together():
    assert problems(None, {"VSI_ESL_BACKOFF_MIN": "20s"}) == [
        "switch.backoff_min: 20s: must not be above switch.backoff_max (10s)"
    ]
    assert load(None, {"VSI_ESL_BACKOFF_MIN": "10s"}).config.switch.backoff_min == 10
    # the default that stands in for a wrong value is not compared with
    assert len(problems(None, {"VSI_ESL_BACKOFF_MIN": "20s", "VSI_ESL_BACKOFF_MAX": "x"})) == 1


def test_an_idle_limit_below_the_ping_interval_is_warned_of():
    (warning,) = load(None, {"VSI_ESL_IDLE_TIMEOUT": "30"}).warnings
    assert warning.startswith("vsi.idle_timeout: 30s: not above vsi.ping_interval (30s)")
    assert load(None, {"VSI_ESL_IDLE_TIMEOUT": "60"}).warnings == []


def test_paths(tmp_path):
    (tmp_path / "file").write_text("")
    assert "must be a directory" in problems(None, {"RECORDING_DIR": str(tmp_path / "file")})[0]
    assert "must be an absolute path" in problems(None, {"RECORDING_DIR": "recordings"})[0]
    assert "must be a file" in problems(None, {"VSI_ESL_STATE_PATH": str(tmp_path)})[0]
    assert load(None, {"RECORDING_DIR": str(tmp_path / "new")}).config.section(RecordingSettings).dir == str(
        tmp_path / "new"
    )


def test_describe(settings_file):
    loaded = load(settings_file("vsi: {ping_interval: 1h}\nsip: {codecs: opus}"), {"SIP_AUTO_RINGING": "on"})
    rows = {row["key"]: row for row in describe(loaded)}
    assert list(rows) == list(loaded.sources)
    assert rows["vsi.ping_interval"] == {
        "key": "vsi.ping_interval",
        "variable": "VSI_ESL_PING_INTERVAL",
        "value": "3600s",
        "default": "30s",
        "source": "file",
        "applied_by": "restart",
        "help": "Time between pings.",
    }
    assert rows["sip.codecs"]["applied_by"] == "reload"
    assert rows["sip.auto_ringing"]["value"] == "true"
    assert rows["sip.auto_ringing"]["source"] == "environment"
    assert (rows["sip.codecs"]["value"], rows["sip.codecs"]["default"]) == ("opus", "PCMU,PCMA,G722,opus")
    assert rows["instance_id"]["default"] == "a random UUID"


def shown_is_readable(loaded: Loaded) -> None:
    unsaid = (HIDDEN, "not set")  # of secrets
    environ = {row["variable"]: row["value"] for row in describe(loaded) if row["value"] not in unsaid}
    assert load(None, environ).config == loaded.config


def test_what_is_shown_can_be_given():
    shown_is_readable(load(None, {}))
    shown_is_readable(load(None, {"VSI_ESL_HOLD_TIMEOUT": "8784h", "VSI_ESL_BACKOFF_MIN": "1ms"}))


def test_the_example_file_loads_as_it_is(settings_file):
    loaded = load(settings_file(example_yaml()), {})
    assert set(loaded.sources.values()) == {"default"}


def test_the_example_file_has_every_setting_at_its_default(settings_file):
    text = re.sub(r'(?m)^( *)# (\w+: ".*")$', r"\1\2", example_yaml())
    loaded = load(settings_file(text), {})
    assert set(loaded.sources.values()) == {"file"}
    assert loaded.warnings == []
    for key, item in all_settings():
        assert item.metadata["default_text"] or not item.metadata["example"], f"{key}: taken for its default"
        if not item.metadata["example"]:
            assert value_of(loaded.config, key) == item.metadata["default"], key
        assert item.metadata["help"] in text
    assert set(yaml.safe_load(text)) == {"instance_id", *sections()}


def test_the_documents_do_not_depend_on_the_machine(monkeypatch):
    before = example_yaml(), reference_table()
    monkeypatch.setenv("HOME", "/elsewhere")
    monkeypatch.setenv("STATE_DIRECTORY", "/elsewhere")
    monkeypatch.setenv("HTTP_ADDR", ":1")
    assert (example_yaml(), reference_table()) == before


def test_the_table_has_every_setting_and_every_reference_variable():
    rows = [line.split(" | ") for line in reference_table().splitlines() if line.startswith("| `")]
    known = (
        {key for key, _ in all_settings()} | set(SET_IN_FREESWITCH) | set(of_entry()) | set(of_companion())
    )
    assert {row[0].strip("| `") for row in rows} == known
    password = next(line for line in reference_table().splitlines() if "`switch.password`" in line)
    assert "`VSI_ESL_SWITCH_PASSWORD_FILE`" in password


@pytest.mark.parametrize(("given", "used"), [("20ms", 0.02), ("0.06", 0.06), ("80ms", None), ("0", None)])
def test_speech_is_no_further_ahead_than_the_switch_has_room_for(given, used):
    environ = {"VSI_ESL_MEDIA_SPEECH_LEAD": given}
    if used is None:
        with pytest.raises(ConfigError, match="VSI_ESL_MEDIA_SPEECH_LEAD"):
            load(None, environ)
    else:
        assert load(None, environ).config.media.speech_lead == used


@pytest.mark.parametrize(
    "given", ["wa.meta.vc:5061;transport=tls", "127.0.0.1;Transport=TLS", " [::1]:5061;transport=tls "]
)
def test_where_whatsapp_calls_are_sent(given):
    config = load(None, {"VSI_ESL_WHATSAPP_TARGET": given}).config
    assert config.section(WhatsAppSettings).target == given.strip()


@pytest.mark.parametrize(
    "given",
    [
        "a b",
        "user@host",
        "sip:host",
        "host:99999;transport=tls",
        "host;fs_path=x",
        "a,b",
        "h>",
        "host",
        "h;transport=udp",
    ],
)
def test_where_they_cannot_be_sent(given):
    (problem,) = problems(None, {"VSI_ESL_WHATSAPP_TARGET": given})
    assert problem.endswith("must be host:port;parameters;transport=tls")


def test_a_header_that_clients_can_write_is_warned_of():
    (warning,) = load(None, {"TRUST_PROXY_HEADERS": "true"}).warnings
    assert warning.startswith("access.trust_proxy_headers: ")
    named = {"TRUST_PROXY_HEADERS": "true", "VSI_ESL_TRUSTED_PROXIES": "127.0.0.1,2001:db8::/32"}
    assert load(None, named).warnings == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("url: 'redis://u:hunter2@h'", "must not have a user or password"),
        ("url: 'http://h'", "must be redis://"),
        ("url: 'unix://s'", "must be redis://"),
        ("url: 'redis://h:70000'", "must be redis://"),
        ("url: 'redis://h/x'", "must be redis://"),
        ("sentinels: [a]", "must be HOST:PORT of each Sentinel, which entry 1 is not"),
        ("namespace: 'a b'", "must be 1 to 64"),
        ("host: h\n  url: 'redis://h'", "redis.host: redis.url names the server as well"),
        ("host: h\n  tls_cert: /c", "redis.tls_cert: redis.tls_cert and redis.tls_key belong together"),
        ("host: h\n  tls_ca: /c", "redis.tls_ca: is of no use without TLS"),
        ("url: 'redis://h'\n  tls: yes", "redis.tls: an address with rediss:// says so"),
    ],
)
def test_what_cannot_be_a_redis_is_refused(settings_file, text, problem):
    (said,) = problems(settings_file(f"redis:\n  {text}\n"), {})[:1]
    assert problem in said and SECRET not in said


def test_without_a_server_named_there_is_no_redis(settings_file, tmp_path):
    assert not load(None, {}).config.redis.enabled
    (tmp_path / "secret").write_text("hunter2\n")
    path = settings_file(f"redis:\n  sentinels: ['a:1', '[::1]:2']\n  password_file: {tmp_path}/secret\n")
    redis = load(path, {"VSI_ESL_SERVICE_NAME": "a"}).config.redis
    assert (redis.enabled, redis.sentinels, redis.password) == (True, (("a", 1), ("::1", 2)), SECRET)
