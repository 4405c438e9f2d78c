"""What the folders of tests promise: conformance looks into no server, and no test module is a library."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CONFORMANCE = sorted((TESTS / "conformance").glob("test_*.py"))
INSIDE = {"ctx", "esl", "channels", "drop_connections", "freeze", "thaw"}
"""Members of services and of switches that nobody has who knows their addresses alone."""
FIXTURES = {"service", "start", "log", "monkeypatch", "tmp_path", "caplog", "lasting_driver"}
HELPERS = {"tests.support.service", "tests.support.held", "tests.support.log", "tests.support.process"}


def imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module or ''}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", CONFORMANCE, ids=lambda path: path.stem)
def test_conformance_knows_addresses_alone(path):
    tree = ast.parse(path.read_text())
    names = imported(tree)
    ours = {name for name in names if name.split(".")[0] == "vsi_esl"}
    assert not {name for name in ours if not name.startswith("vsi_esl.protocol.names")}
    assert not names & HELPERS
    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & INSIDE
    assert not {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} & FIXTURES


CHANGES = ("unload ", "load ", "reload ", "global_setvar ", "sofia profile ")
"""Commands to a switch after which it is not what the next test takes it for, or which fail behind another
test: FreeSWITCH does not let go of a module that is in use."""


@pytest.mark.parametrize("path", sorted((TESTS / "service").glob("test_*.py")), ids=lambda path: path.stem)
def test_what_changes_a_switch_has_one_of_its_own(path):
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef) or not function.name.startswith("test_"):
            continue
        changes = any(
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "switch.esl"
            and isinstance(node.args[0], ast.Constant)
            and str(node.args[0].value).startswith(CHANGES)
            for node in ast.walk(function)
        )
        marks = [ast.unparse(one) for one in function.decorator_list]
        on_sandbox = "mod_verto" in {one.arg for one in function.args.args}  # a fixture that skips others
        assert not changes or on_sandbox or "pytest.mark.own_switch" in marks, function.name


def test_nobody_imports_a_test_module():
    for path in TESTS.rglob("*.py"):
        for name in imported(ast.parse(path.read_text())):
            assert not any(part.startswith("test_") for part in name.split(".")), f"{path}: {name}"
