"""Folders import what stands below them: the contract is in pyproject.toml, for `lint-imports`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def linted(root: Path) -> subprocess.CompletedProcess[str]:
    """lint-imports on the package below `root`, by the contract there."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__", "freeswitch_conf", "dialplan")
    shutil.copytree(ROOT / "vsi_esl", tmp_path / "vsi_esl", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_folders_import_downwards():
    result = linted(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line", "arrow"),
    [
        ("model/leg.py", "from ..calls import lifecycle", "vsi_esl.model.leg -> vsi_esl.calls.lifecycle"),
        ("translate/dtmf.py", "from ..sound.playback import player", "vsi_esl.translate.dtmf -> "),
        (
            "commands/dtmf.py",
            "def late():\n    from ..web import http",
            "vsi_esl.commands.dtmf -> vsi_esl.web.http",
        ),
        ("sandbox/wire.py", "from ..switch.esl import codec", "vsi_esl.sandbox.wire -> "),
        (
            "sound/recording/naming.py",
            "from ...storage import uploads",
            "vsi_esl.sound.recording.naming -> vsi_esl.storage.uploads",
        ),
    ],
)
def test_a_new_arrow_upwards_is_found(copy, module, line, arrow):
    path = copy / "vsi_esl" / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    result = linted(copy)
    assert result.returncode == 1
    assert arrow in result.stdout


def test_a_new_folder_needs_a_place_in_the_order(copy):
    (copy / "vsi_esl" / "extras").mkdir()
    (copy / "vsi_esl" / "extras" / "__init__.py").write_text("")
    result = linted(copy)
    assert result.returncode == 1
    assert "extras" in result.stdout
