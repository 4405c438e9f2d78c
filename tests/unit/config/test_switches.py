"""The list of switches in the settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsi_esl.config import ConfigError, describe, example_yaml, load
from vsi_esl.config.given import HIDDEN
from vsi_esl.config.live import changed, takes_effect, with_live
from vsi_esl.config.loading import Loaded

TWO = """
switch:
  port: 8022
  password: shared
  backoff_max: 20s
switches:
  - name: east
    host: 10.0.0.11
    capacity: 2000
  - name: west
    host: 10.0.0.12
    port: 8023
    password: its-own
    weight: 3
    drain: yes
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> str:
        path: Path = tmp_path / "vsi.yaml"
        path.write_text(text)
        return str(path)

    return write


def problems(path: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as wrong:
        load(path, environ)
    return wrong.value.problems


def test_an_entry_says_what_differs_from_the_section(file):
    east, west = load(file(TWO), {}).config.switches
    assert (east.name, east.weight, east.capacity, east.drain) == ("east", 1, 2000, False)
    assert (east.settings.host, east.settings.port, east.settings.password) == ("10.0.0.11", 8022, "shared")
    assert (west.name, west.weight, west.capacity, west.drain) == ("west", 3, 0, True)
    assert (west.settings.host, west.settings.port, west.settings.password) == ("10.0.0.12", 8023, "its-own")
    assert west.settings.backoff_max == 20.0


def test_what_the_environment_says_is_of_all_that_do_not_say(file):
    east, west = load(file(TWO), {"VSI_ESL_SWITCH_PORT": "9000", "VSI_ESL_BACKOFF_MIN": "1s"}).config.switches
    assert (east.settings.port, west.settings.port) == (9000, 8023)
    assert east.settings.backoff_min == west.settings.backoff_min == 1.0


@pytest.mark.parametrize("text", ["", "switches:\n", "switch:\n  port: 1\n"])
def test_without_a_list_there_is_none(file, text):
    assert load(file(text), {}).config.switches == ()


def test_a_secret_can_be_in_a_file(file, tmp_path):
    (tmp_path / "password").write_text("from-a-file\n")
    text = f"switches:\n  - name: east\n    password_file: {tmp_path}/password\n"
    assert load(file(text), {}).config.switches[0].settings.password == "from-a-file"


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ("switches: east\n", "switches: must be a list of 1 to 1000 switches, each with a name"),
        ("switches: []\n", "switches: must be a list of 1 to 1000 switches, each with a name"),
        (
            "switches:\n  east:\n    host: a\n",
            "switches: must be a list of 1 to 1000 switches, each with a name",
        ),
        ("switches:\n  - east\n", "switches[1]: must be a switch, with `name: ...` and its settings"),
        ("switches:\n  - host: 10.0.0.1\n", "switches[1]: has no name"),
        ("switches:\n  - name:\n", "switches[1]: has no name"),
        (
            "switches:\n  - name: a b\n",
            "switches[1].name: 'a b': must consist of letters, digits, dot, dash and underscore",
        ),
        (
            "switches:\n  - name: a\n    host: x\n  - name: a\n    host: y\n",
            "switches[2].name: a is the name of another switch",
        ),
        (
            "switches:\n  - name: a\n  - name: b\n",
            "switches: a and b have the same address, 127.0.0.1:8021",
        ),
        (
            "switches:\n  - name: a\n    wieght: 2\n",
            'unknown key "wieght"; did you mean "weight"? in switches[1]',
        ),
        (
            "switches:\n  - name: a\n    weight: 0\n",
            "switches[1].weight: '0': must be a whole number from 1 to 1000",
        ),
        ("switches:\n  - name: a\n    host: [1]\n", "switches[1].host: must be a single value"),
        (
            "switches:\n  - name: a\n    backoff_min: 9s\n    backoff_max: 2s\n",
            "switches: a: backoff_min must not be above backoff_max",
        ),
        ("switchs:\n  - name: a\n", 'unknown key "switchs"; did you mean "switches"?'),
    ],
)
def test_what_is_wrong_is_said_with_its_place(file, entries, problem):
    assert problem in problems(file(entries))


def test_every_problem_is_told_and_no_secret(file):
    text = "switches:\n  - name: a\n    port: x\n    password: ''\n  - weight: y\n    password_file: /none\n"
    found = problems(file(text))
    assert [one.partition(":")[0] for one in found] == [
        "switches[1].port",
        "switches[1].password",
        "switches[2].weight",
        "switches[2].password_file",
        "switches[2]",
    ]
    assert HIDDEN in found[1]


def test_they_are_shown_with_where_it_is_from(file):
    rows = {row["key"]: row for row in describe(load(file(TWO), {}))}
    assert rows["switches.west.password"]["value"] == HIDDEN
    shown = {key: (row["value"], row["source"]) for key, row in rows.items()}
    assert shown["switches.east.host"] == ("10.0.0.11", "file")
    assert shown["switches.east.weight"] == ("1", "default")
    assert shown["switches.west.weight"] == ("3", "file")
    assert shown["switches.east.port"] == ("8022", "file")
    assert shown["switches.east.bond_uuid"] == ("vsi-bond", "default")


def test_the_example_has_a_list_that_loads(file):
    lines = example_yaml().splitlines()
    listed = [line.removeprefix("# ") for line in lines[lines.index("# switches:") :]]
    east, west = load(file("\n".join(listed)), {}).config.switches
    assert (east.name, east.settings.host, west.name, west.settings.host) == (
        "east",
        "10.0.0.11",
        "west",
        "10.0.0.12",
    )


def test_shares_take_effect_without_a_restart(file):
    before = load(file(TWO), {})
    after = load(file(TWO.replace("weight: 3", "weight: 4").replace("capacity: 2000", "capacity: 9")), {})
    keys = changed(before, after)
    assert keys == ["switches.east.capacity", "switches.west.weight"]
    assert all(takes_effect(key) for key in keys)
    taken = with_live(before.config, after.config, keys)
    assert taken.switches == after.config.switches
    assert changed(Loaded(taken, before.sources, []), after) == []


@pytest.mark.parametrize(
    "text",
    [
        TWO.replace("10.0.0.12", "10.0.0.13"),
        TWO.replace("name: west", "name: north"),
        TWO.replace("password: shared", "password: other"),
        TWO[: TWO.index("  - name: west")],
    ],
)
def test_other_switches_need_a_restart(file, text):
    before = load(file(TWO), {})
    keys = [key for key in changed(before, load(file(text), {})) if not takes_effect(key)]
    assert "switches" in keys


# -- a companion ---------------------------------------------------------------------------------------------

WITH_COMPANION = """
switches:
  - name: north
    host: 10.0.0.13
    companion:
      address: 10.0.0.13:8022
      ca: /etc/vsi_esl/companions/ca.pem
      certificate: /etc/vsi_esl/companions/service.pem
      key: /etc/vsi_esl/companions/service.key
"""


def test_a_switch_on_another_machine_has_a_companion(file):
    loaded = load(file(WITH_COMPANION), {})
    (north,) = loaded.config.switches
    assert north.companion.address == "10.0.0.13:8022" and north.companion.name == ""
    rows = {row["key"]: row for row in describe(loaded)}
    assert rows["switches.north.companion.ca"]["value"] == "/etc/vsi_esl/companions/ca.pem"
    assert rows["switches.north.companion.name"]["source"] == "default"
    named = load(file(WITH_COMPANION + "      name: north.example\n"), {})
    assert named.config.switches[0].companion.name == "north.example"
    assert changed(loaded, named) == ["switches"] and not takes_effect("switches")


@pytest.mark.parametrize(
    ("companion", "problem"),
    [
        ("x", "switches[1].companion: must be a section, with address, ca, certificate, key, name"),
        ("{}", "switches[1].companion: has no address, ca, certificate, key"),
        ("{address: 'h:1', ca: /a, certificate: /b}", "switches[1].companion: has no key"),
        (
            "{address: ':8022', ca: /a, certificate: /b, key: /c}",
            'switches[1].companion.address: \':8022\': must be "host:port" or "[IPv6]:port", '
            "the port from 1 to 65535",
        ),
        (
            "{address: 'h:1', ca: /a, certificate: /b, key: /c, nam: x}",
            'unknown key "nam"; did you mean "name"? in switches[1].companion',
        ),
        (
            "{address: [a], ca: /a, certificate: /b, key: /c}",
            "switches[1].companion.address: must be a single value",
        ),
        (
            "{address: 'h:1', ca: /a, certificate: /b, key: /tmp}",
            "switches[1].companion.key: '/tmp': is a directory, must be a file",
        ),
    ],
)
def test_what_is_wrong_with_a_companion_is_said(file, companion, problem):
    assert problems(file(f"switches:\n  - name: a\n    companion: {companion}\n")) == [problem]


def test_a_companion_elsewhere_than_in_an_entry_is_unknown(file):
    assert 'did you mean "companion"?' in problems(file("switches:\n  - name: a\n    compannion: {}\n"))[0]


# -- tethers ---------------------------------------------------------------------------------------------

TETHERED = """
switches:
  - {name: east, host: 10.0.0.11, tether: "10.0.0.11:5072"}
  - {name: west, host: 10.0.0.12, tether: "[::2]:5072", tether_codec: G722, tether_profile: other}
  - {name: north, host: 10.0.0.13}
"""


def test_tethers_are_off_unless_they_are_asked_for(file):
    east, west, north = load(file(TETHERED), {}).config.switches
    assert (east.tether, east.tether_codec, east.tether_profile) == ("10.0.0.11:5072", "l16", "vsi_tether")
    assert (west.tether, west.tether_codec, west.tether_profile) == ("[::2]:5072", "g722", "other")
    assert north.tether == ""


@pytest.mark.parametrize(
    "wrong",
    ["10.0.0.11", "sip.example:5072", "10.0.0.11:0", "10.0.0.11:70000", "::2:5072", "10.0.0.300:5072", "x"],
)
def test_a_tether_is_an_ip_address_and_a_port(file, wrong):
    text = TETHERED.replace("10.0.0.11:5072", wrong)
    assert problems(file(text)) == [
        f"switches[1].tether: '{wrong}': must be an IP address and a port, as 10.0.0.11:5072"
    ]


def test_two_switches_have_not_the_same_tether(file):
    text = TETHERED.replace("[::2]:5072", "10.0.0.11:5072")
    assert problems(file(text)) == ["switches: east and west have the same tether, 10.0.0.11:5072"]


def test_another_tether_takes_a_restart(file):
    before = load(file(TETHERED), {})
    after = load(file(TETHERED.replace("G722", "opus")), {})
    assert changed(before, after) == ["switches"]
    assert not takes_effect("switches")
