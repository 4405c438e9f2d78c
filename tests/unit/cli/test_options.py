"""Commands that are run by hand beside a service that systemd runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from vsi_esl.cli import config_commands, options
from vsi_esl.cli import state as state_commands


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which a service has been installed; its state directory."""
    found = {"STATE_DIRECTORY": tmp_path / "lib", "CREDENTIALS_DIRECTORY": tmp_path / "credentials"}
    for path in found.values():
        path.mkdir()
    monkeypatch.setattr(options, "OF_THE_SERVICE", {name: str(path) for name, path in found.items()})
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VSI_ESL_")}
    monkeypatch.setattr(os, "environ", {**environ, "HOME": str(tmp_path / "home"), "XDG_STATE_HOME": ""})
    for name in found:
        os.environ.pop(name, None)
    return found["STATE_DIRECTORY"]


def looked_at() -> set[str]:
    checked = CliRunner().invoke(state_commands.state, ["check", "--json"])
    assert checked.exit_code == 0, checked.output
    return {part for row in json.loads(checked.stdout) for part in row["detail"].split() if "/" in part}


def test_state_of_the_service_is_looked_at_and_not_root_s_own(machine):
    assert {Path(one).parent for one in looked_at()} == {machine}


def test_what_the_environment_says_counts(machine, tmp_path):
    os.environ["STATE_DIRECTORY"] = str(tmp_path / "mine")
    assert {Path(one).parent for one in looked_at()} == {tmp_path / "mine"}


def test_where_no_service_is_installed_it_is_the_user_s(machine, tmp_path):
    machine.rmdir()
    assert {Path(one).parent for one in looked_at()} == {tmp_path / "home" / ".local" / "state" / "vsi_esl"}


def test_credentials_of_the_running_service_are_found(machine, tmp_path):
    (tmp_path / "credentials" / "vsi_password").write_text("secret")
    config = tmp_path / "config.yaml"
    config.write_text("switch: {password_file: 'credential:vsi_password'}")
    checked = CliRunner().invoke(config_commands.config, ["check", "--config", str(config)])
    assert (checked.exit_code, checked.stderr) == (0, "")
