"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import generated
from vsi_esl.features import FEATURES
from vsi_esl.protocol import registry
from vsi_esl.protocol.names import CONNECTION_COMMANDS, known_commands

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", generated.texts(), ids=lambda path: path.name)
def test_what_is_made_of_the_code_is_what_it_makes(path):
    assert path.read_text() == generated.texts()[path], "run python -m tests.generated"


def test_the_page_of_commands_says_which_ones_work():
    rows = [
        row.split(" | ") for row in (ROOT / "docs" / "commands.md").read_text().splitlines() if "` | `" in row
    ]
    assert {row[0].strip("| `") for row in rows if row[2] != "501"} == set(registry.load_commands())
    assert len(rows) == len(set(known_commands()) - CONNECTION_COMMANDS)


def test_the_architecture_names_what_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(
        re.findall(
            r"(?<![\w./*])((?:[a-z_]+/)+(?:[a-z_]+\.py)?|[a-z_]+\.py|[\w/]+\.(?:md|toml))(?![\w/])", text
        )
    )
    assert len(named) >= 40
    gone = {name for name in named if not ((ROOT / name).exists() or (ROOT / "vsi_esl" / name).exists())}
    assert gone <= {
        "esl/",
        "lines/",
        "translators.py",
        "feature.py",
        "events.py",
        "settings.py",
        "doctor.py",
    }  # said of any feature, or within switch/


def test_the_architecture_says_what_every_folder_is():
    table = (ROOT / "docs" / "architecture.md").read_text().partition("## The folders")[2].partition("## ")[0]
    told = re.findall(r"^\| `([a-z_]+(?:/|\.py))` \| \w", table, re.MULTILINE)
    package = ROOT / "vsi_esl"
    of_features = {f"{name.split('.')[1]}/" for name in FEATURES}  # say it themselves
    for folder in of_features:
        assert (package / folder / "__init__.py").read_text().startswith('"""'), folder
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")} - of_features | {
        "sound/",
        "live/",
    }
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    assert sorted(told) == sorted(folders | modules)


def test_nothing_of_the_workplace_is_named():
    """No machine path may enter the repository."""
    forbidden = re.compile("/" + "work/|/" + "root/|/opt/" + "bld")
    for path in ROOT.rglob("*"):
        if (
            ".git" in path.parts
            or any(part.startswith(".venv") for part in path.parts)
            or path.suffix not in (".py", ".md", ".xml", ".cfg", ".toml")
        ):
            continue
        assert not forbidden.search(path.read_text()), path
