"""What setup.cfg declares is what the package imports: a plain `pip install` has all of it."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPTIONAL = {"certifi", "pocketsphinx"}
"""Imported when it is there."""


def declared() -> set[str]:
    """The distributions in install_requires."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return {_name(line) for line in config["options"]["install_requires"].split("\n") if line.strip()}


def with_their_own(names: set[str]) -> set[str]:
    """The distributions, and what they declare themselves."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        found.add(name)
        todo += [_name(line) for line in requires if "extra ==" not in line]
    return found


def _name(requirement: str) -> str:
    match = re.match(r"\s*([A-Za-z0-9._-]+)", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[1]).lower()


def imported() -> dict[str, str]:
    """The top-level modules of others that the package names, each with a file that does."""
    found: dict[str, str] = {}
    for path in (ROOT / "vsi_esl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                found.setdefault(name.partition(".")[0], str(path.relative_to(ROOT)))
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names}


def test_what_is_imported_is_declared():
    homes = importlib.metadata.packages_distributions()
    for module, file in imported().items():
        distributions = {_name(one) for one in homes.get(module, [])}
        assert distributions & (declared() | OPTIONAL), f"{file} imports {module}"


PLAIN = """
import importlib.metadata, pkgutil, re, sys

allowed = set(sys.argv[1].split(","))
homes = importlib.metadata.packages_distributions()

class Declared:
    # not to be found, rather than refused: packages ask whether one is there
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        homes_of = {re.sub("[-_.]+", "-", one).lower() for one in homes.get(name, ())}
        if "." not in name and homes_of and not homes_of & allowed:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Declared(finder) for finder in sys.meta_path]
for name in [name for name in sys.modules if name in homes and name not in ("vsi_esl",)]:
    del sys.modules[name]

import vsi_esl
for module in pkgutil.walk_packages(vsi_esl.__path__, "vsi_esl."):
    if not module.name.endswith("__main__"):
        __import__(module.name)

from vsi_esl.net.url import parsed
print(parsed("https://b\\u00fccher.example/", "").host)
"""


@pytest.mark.parametrize("without", [set(), OPTIONAL])
def test_a_plain_install_imports_everything_and_knows_other_letters_in_hosts(without):
    allowed = with_their_own(declared()) | OPTIONAL | {"vsi-esl"}
    result = subprocess.run(
        [sys.executable, "-c", PLAIN, ",".join(allowed - without)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "xn--bcher-kva.example\n"), result.stderr[-2000:]
