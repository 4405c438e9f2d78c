"""The Ansible collection: built, linted, converged into a directory, upgraded, and taken back."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support.ports import free_port
from vsi_esl.config import load

ROOT = Path(__file__).parents[2]
COLLECTION = ROOT / "ansible"
TOOLS = Path(os.environ.get("ANSIBLE_TOOLS", ROOT / ".venv-ansible")) / "bin"
ROLES = ("companion", "freeswitch", "vsi_esl")
PROGRAM_TIMEOUT_S = 900
SOURCES = ("vsi_esl", "freeswitch_conf", "dialplan", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
VERSION = "0.1.0"
BROKEN = "0.2.0"
PACKAGED = "0.2.1"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2 * PROGRAM_TIMEOUT_S),
    pytest.mark.skipif(not (TOOLS / "molecule").exists(), reason="no Ansible here: make ansible-tools"),
]


def program(name: str, *arguments: str, cwd: Path = COLLECTION, **environ: str) -> str:
    """What one of the tools says; it has to succeed."""
    done = subprocess.run(
        [str(TOOLS / name), *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}", "NO_COLOR": "1", **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PROGRAM_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as it is published."""
    folder = tmp_path_factory.mktemp("built")
    program("ansible-galaxy", "collection", "build", "--output-path", str(folder))
    return next(folder.glob("vsi_esl-pbx-*.tar.gz"))


@pytest.fixture(scope="module")
def collections(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is installed."""
    folder = tmp_path_factory.mktemp("collections")
    program("ansible-galaxy", "collection", "install", "--offline", str(built), "-p", str(folder))
    return folder


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases: the one of this checkout, and one that listens and never becomes ready."""
    folder = tmp_path_factory.mktemp("wheels")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in SOURCES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, checkout / name)
    program("pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(checkout))
    wheel = next(folder.glob("*.whl"))
    _released(wheel, folder / "releases", VERSION)
    _released(wheel, folder / "releases", BROKEN, b"\nService.start = lambda self: self.http.start()\n")
    _packaged(folder / "releases" / f"vsi_esl-{VERSION}-py3-none-any.whl", folder / "tree")
    return folder / "releases"


def _packaged(wheel: Path, tree: Path) -> None:
    """A package as `make deb` makes it, of a wheel; its environment is for where dpkg would have it."""
    home = tree / "usr" / "lib" / "vsi_esl"
    program("python3", "-m", "venv", "--without-pip", str(home))
    for link in (home / "bin").glob("python*"):
        link.unlink()
    (home / "bin" / "python3").symlink_to("../../../bin/python3.0")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(next(home.glob("lib/python3.*/site-packages")))
    program_file = home / "bin" / "vsi-esl"
    program_file.write_text("#!/usr/lib/vsi_esl/bin/python3\nfrom vsi_esl.__main__ import main\nmain()\n")
    program_file.chmod(0o755)
    (tree / "DEBIAN").mkdir()
    control = {"Package": "vsi-esl", "Version": f"{PACKAGED}-1", "Architecture": "all"}
    control |= {"Maintainer": "nobody <nobody@example.org>", "Description": "for the test"}
    text = "".join(f"{name}: {value}\n" for name, value in control.items())
    (tree / "DEBIAN" / "control").write_text(text)
    package = wheel.with_name(f"vsi-esl_{PACKAGED}-1_all.deb")
    subprocess.run(["dpkg-deb", "-Znone", "--build", str(tree), str(package)], check=True, timeout=60)


def _released(wheel: Path, folder: Path, version: str, appended: bytes = b"") -> None:
    """A release of this version made of a wheel. What it depends on is where this Python has it."""
    folder.mkdir(exist_ok=True)
    own = wheel.name.split("-")[1]
    with (
        zipfile.ZipFile(wheel) as source,
        zipfile.ZipFile(folder / f"vsi_esl-{version}-py3-none-any.whl", "w") as target,
    ):
        for name in source.namelist():
            text = source.read(name)
            if name.endswith((".dist-info/METADATA", ".dist-info/RECORD")):
                text = text.replace(own.encode(), version.encode())
            if name == "vsi_esl/cli/serve.py":
                text += appended
            target.writestr(name.replace(f"vsi_esl-{own}.", f"vsi_esl-{version}."), text)
        paths = [path for path in sys.path if path.endswith("site-packages")]
        target.writestr("beside.pth", "".join(f"{path}\n" for path in paths))


def test_the_collection_has_what_it_needs_and_no_more(built):
    with tarfile.open(built) as archive:
        names = set(archive.getnames())
    assert {"README.md", "CHANGELOG.md", "meta/runtime.yml", "playbooks/site.yml"} <= names
    assert {f"roles/{role}/meta/argument_specs.yml" for role in ROLES} <= names
    assert "inventory/example/hosts.yml" in names
    assert not [name for name in names if name.startswith(("extensions", ".ansible", "requirements"))]


def test_lint(collections):
    """ansible-lint in its strictest profile, warnings included."""
    said = program("ansible-lint", "--offline", "--strict", ANSIBLE_COLLECTIONS_PATH=str(collections))
    assert re.search(r"Passed.*0 failure\(s\), 0 warning\(s\).*production", said, re.DOTALL), said


def test_the_playbook_is_found_and_understood(collections):
    inventory = str(COLLECTION / "inventory" / "example")
    said = program(
        "ansible-playbook",
        *("-i", inventory, "--syntax-check", "vsi_esl.pbx.site"),
        ANSIBLE_COLLECTIONS_PATH=str(collections),
    )
    assert "playbooks/site.yml" in said


@pytest.mark.parametrize("role", ROLES)
def test_each_variable_is_explained_and_checked(role):
    folder = COLLECTION / "roles" / role
    text = (folder / "defaults" / "main.yml").read_text()
    defaults = yaml.safe_load(text)
    specs = yaml.safe_load((folder / "meta" / "argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]
    assert list(options) == list(defaults)
    for name, option in options.items():
        assert option["description"].strip()
        if "default" in option:
            assert option["default"] == defaults[name], name
    blocks = re.split(r"\n\n+", text)
    for block in blocks:
        if re.search(r"^\w+:", block, re.MULTILINE):
            assert block.lstrip("-\n").startswith("#"), f"without a comment: {block}"


def test_the_guide_names_variables_that_there_are():
    known = set()
    for role in ROLES:
        known |= set(yaml.safe_load((COLLECTION / "roles" / role / "defaults" / "main.yml").read_text()))
    guide = (ROOT / "docs" / "ansible.md").read_text() + (COLLECTION / "README.md").read_text()
    named = set(re.findall(r"`((?:vsi_esl|freeswitch|companion)_[a-z_]*[a-z])`", guide))
    assert named >= {"vsi_esl_wheel", "freeswitch_conf_dir"}
    assert named <= known


SEVERAL = """
all:
  vars:
    ansible_connection: local
    ansible_become: false
    ansible_python_interpreter: {python}
    vsi_esl_source: index
    vsi_esl_version: 0.1.0
    vsi_esl_install_dir: {folder}/opt
  children:
    switches:
      hosts:
        east.example:
          ansible_host: 10.0.0.11
          freeswitch_event_socket_ip: 10.0.0.11
        west.example:
          ansible_host: 10.0.0.12
          freeswitch_event_socket_ip: 0.0.0.0
          vsi_esl_switch_name: west-2
          vsi_esl_switch_entry: {{weight: 2, capacity: 2000}}
    services:
      hosts:
        alone.example:
          vsi_esl_redis: "{{{{ groups['redis'] | default([]) }}}}"
        one.example:
          vsi_esl_redis: [r1.example]
        several.example:
          vsi_esl_redis: [r1.example, r2.example]
          vsi_esl_redis_settings: {{namespace: pbx}}
      vars:
        vsi_esl_switches: "{{{{ groups['switches'] }}}}"
    stores:
      hosts:
        r1.example: {{ansible_host: 10.0.0.20}}
        r2.example:
"""
REDIS = {
    "alone": None,
    "one": {"host": "10.0.0.20", "port": 6379},
    "several": {"sentinels": ["10.0.0.20:26379", "r2.example:26379"], "namespace": "pbx"},
}
SETTINGS = """
- hosts: services
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: vsi_esl.pbx.vsi_esl
        tasks_from: manager/none_reload.yml
        public: true
    - ansible.builtin.copy:
        content: "{{{{ lookup('ansible.builtin.template', templates ~ '/config.yaml.j2') }}}}"
        dest: "{folder}/{{{{ inventory_hostname }}}}.yaml"
        mode: "0600"
"""


def test_switches_and_redis_are_the_groups_of_the_inventory(collections, tmp_path):
    """As the settings file has them, and as the service reads it."""
    inventory, playbook = tmp_path / "hosts.yml", tmp_path / "play.yml"
    inventory.write_text(SEVERAL.format(python=sys.executable, folder=tmp_path))
    playbook.write_text(SETTINGS.format(folder=tmp_path))
    templates = collections / "ansible_collections" / "vsi_esl" / "pbx" / "roles" / "vsi_esl" / "templates"
    program(
        "ansible-playbook",
        *("-i", str(inventory), "-e", f"templates={templates}", str(playbook)),
        ANSIBLE_COLLECTIONS_PATH=str(collections),
    )
    secret, config = tmp_path / "password", tmp_path / "config.yaml"
    secret.write_text("x")
    for name, expected in REDIS.items():
        found = yaml.safe_load((tmp_path / f"{name}.example.yaml").read_text())
        folder = "/etc/vsi_esl/secrets/socket."
        assert found["switches"] == [
            {"name": "east", "host": "10.0.0.11", "port": 8021, "password_file": f"{folder}east"},
            {"name": "west-2", "host": "10.0.0.12", "port": 8021, "password_file": f"{folder}west-2"}
            | {"weight": 2, "capacity": 2000},
        ]
        assert found.get("redis") == expected
        found["switch"]["password_file"] = str(secret)  # those of the hosts are not on this one
        for switch in found["switches"]:
            switch["password_file"] = str(secret)
        config.write_text(yaml.safe_dump(found))
        loaded = load(str(config), {}).config
        assert [(one.name, one.weight, one.settings.host) for one in loaded.switches] == [
            ("east", 1, "10.0.0.11"),
            ("west-2", 2, "10.0.0.12"),
        ]
        assert loaded.redis.enabled is (expected is not None)


def test_a_host_from_nothing_to_an_upgrade_that_is_taken_back(collections, wheels, tmp_path):
    """Molecule on this machine: a check run, two runs of which the second changes nothing; then, with a call
    on the sandbox, a setting that takes no restart, and a release that does not become ready."""
    shutil.copytree(wheels, tmp_path / "wheels")
    (tmp_path / "collections").symlink_to(collections)
    environ = {
        "PBX_PREFIX": str(tmp_path),
        "PBX_PYTHON": f"{sysconfig.get_config_var('BINDIR')}/python3",
        "PBX_USER": pwd.getpwuid(os.getuid()).pw_name,
        "PBX_GROUP": grp.getgrgid(os.getgid()).gr_name,
        "PBX_HTTP_PORT": str(free_port()),
        "PBX_SWITCH_PORT": str(free_port()),
        "PBX_COMPANION_PORT": str(free_port()),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path / "molecule"),
    }
    try:
        said = program("molecule", "test", cwd=COLLECTION / "extensions", **environ)
    finally:
        if (tmp_path / "supervisor").exists():
            subprocess.run([str(tmp_path / "supervisor"), "stop"], check=True, timeout=60)
    password = (tmp_path / "freeswitch" / "vsi" / "event_socket_password").read_text()
    assert password not in said
    assert "not to be seen" not in said
    assert re.search(r"idempotence: Executed: Successful", said)
