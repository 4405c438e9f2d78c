"""What continuous integration runs is there, and runs everything."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.__main__ import PARTS

ROOT = Path(__file__).parents[2]
SETUP = (ROOT / "setup.cfg").read_text()
SCRIPT = ROOT / ".ci" / "run"
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
AGAIN = "rest"
"""The part that runs others' files once more, with another face."""


def test_the_script_is_one_that_bash_understands():
    assert SCRIPT.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0


@pytest.mark.parametrize("path", [SCRIPT, ROOT / "README.md"], ids=lambda path: path.name)
def test_its_targets_are_in_the_makefile(path):
    named = set(
        re.findall(r"^ *(?:nice )?make ([\w-]+)(?= [A-Z|2]|$)|`make ([\w-]+)", path.read_text(), re.MULTILINE)
    )
    named = {one for pair in named for one in pair if one}
    assert "test" in named
    assert named <= TARGETS


def test_the_workflow_runs_the_script_with_each_python_that_is_supported():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    classifiers = re.findall(r"Programming Language :: Python :: (3\.\d+)$", SETUP, re.MULTILINE)
    assert job["strategy"]["matrix"]["python"] == classifiers
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"actions/[\w-]+@v\d+", action), "of GitHub itself, by its major version"


def test_each_test_module_is_in_one_part():
    parts = [ROOT / path for part, paths in PARTS.items() if part != AGAIN for path in paths]
    for module in (ROOT / "tests").rglob("test_*.py"):
        assert sum(module.is_relative_to(path) for path in parts) == 1, module
