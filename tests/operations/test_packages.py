"""Wheel, source archive and Debian package: complete, the same each time, and of use outside a checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support.program import Running
from vsi_esl import __version__
from vsi_esl.cli import COMMANDS
from vsi_esl.cli.version import described
from vsi_esl.config import load

ROOT = Path(__file__).parents[2]
EPOCH = 1_700_000_000
TIMEOUT_S = 60
ONLY_HERE = frozenset(("PKG-INFO", "setup.cfg"))
needs_git = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not in a checkout"
)


def call(*command: object, **options: object) -> str:
    """What a command prints; its errors fail the test."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT_S, check=False, **options
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def tracked() -> set[str]:
    """Git's files, with those that a link to a directory leads to in its place."""
    found = set()
    for name in call("git", "-C", ROOT, "ls-files", "-z").split("\0"):
        path = ROOT / name
        if name and path.is_symlink() and path.is_dir():
            found |= {f"{name}/{one.relative_to(path)}" for one in path.rglob("*") if one.is_file()}
        elif name and path.is_file():
            found.add(name)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both, made twice: by somebody with another umask the second time."""
    directory = tmp_path_factory.mktemp("dist")
    for name, umask in (("one", 0o022), ("two", 0o077)):
        environ = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
        call(sys.executable, ROOT / "deploy" / "dist.py", directory / name, env=environ, umask=umask)
    return directory


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = (built / "one").glob("*.whl")
    return path


@needs_git
def test_two_builds_are_the_same_bytes(built):
    names = sorted(path.name for path in (built / "one").iterdir())
    assert names == [f"vsi_esl-{__version__}-py3-none-any.whl", f"vsi_esl-{__version__}.tar.gz"]
    for name in names:
        assert (built / "one" / name).read_bytes() == (built / "two" / name).read_bytes()


@needs_git
def test_the_source_archive_has_what_git_has(built):
    (path,) = (built / "one").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    names = {one.name.partition("/")[2] for one in members if one.isfile()}
    assert tracked() - names == set(), "MANIFEST.in says what is in it"
    made = {name for name in names - tracked() if not name.startswith("vsi_esl.egg-info/")}
    assert made <= ONLY_HERE
    assert {one.mtime for one in members} == {EPOCH}
    assert {(one.uid, one.gid, one.uname) for one in members} == {(0, 0, "root")}


@needs_git
def test_the_wheel_has_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in tracked() if name.startswith("vsi_esl/")}
    inside = {name for name in names if not name.startswith(f"vsi_esl-{__version__}.dist-info/")}
    assert package - inside == set(), "package_data in setup.cfg says what is in it"
    assert inside - package == set()
    assert f"vsi_esl-{__version__}.dist-info/licenses/LICENSE" in names


@pytest.fixture(scope="module")
def program(wheel, tmp_path_factory):
    """`vsi-esl` of the wheel in a fresh environment, with this one's packages beside it."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place, with_pip=False)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "beside.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    pip = (sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install", "-q")
    call(*pip, "--disable-pip-version-check", "--no-deps", "--no-index", wheel)
    where = call(place / "bin" / "python", "-c", "import vsi_esl; print(vsi_esl.__file__)", cwd="/")
    assert where.startswith(str(packages)), "it is the wheel that is tried"
    return place / "bin" / "vsi-esl"


@needs_git
def test_the_installed_program_works_outside_the_checkout(program, tmp_path):
    assert call(program, "--version", cwd="/") == f"vsi-esl, version {__version__}\n"
    assert "password_file" in call(program, "config", "example", cwd="/")
    assert json.loads(call(program, "docs", "openapi", cwd="/"))["openapi"]
    assert f"\nExecStart={program} serve " in call(program, "systemd-unit", cwd="/")
    conf = tmp_path / "conf"
    call(program, "freeswitch-conf", conf, cwd="/")
    sources = ROOT / "freeswitch_conf"
    expected = {str(path.relative_to(sources)) for path in sources.rglob("*") if path.is_file()}
    written = {str(path.relative_to(conf)) for path in conf.rglob("*") if path.is_file()}
    assert written == expected | {"dialplan/vsi.xml"}


@needs_git
def test_the_installed_service_runs_outside_the_checkout(program):
    running = Running("--no-demo", program=(str(program),), cwd="/")
    base = running.url.replace("ws://", "http://").removesuffix("/v1/vsi")
    try:
        for path, part in {"/readyz": b'"ready"', "/docs": b"<html", "/openapi.json": b'"openapi"'}.items():
            with urllib.request.urlopen(base + path, timeout=20) as answer:
                assert part in answer.read(), path
    finally:
        running.stop()
    assert running.process.returncode == 0


def test_a_checkout_says_its_commit(tmp_path):
    assert described(tmp_path) == __version__, "an installation has none"
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git = ("git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@localhost")
    call("git", "init", "-q", tmp_path)
    assert described(tmp_path) == __version__, "there is none yet"
    (tmp_path / "x").write_text("1")
    call(*git, "add", "x")
    call(*git, "commit", "-q", "-m", "one")
    assert re.fullmatch(rf"{re.escape(__version__)} \(git [0-9a-f]{{7,}}\)", described(tmp_path))
    (tmp_path / "x").write_text("2")
    assert described(tmp_path).endswith("-dirty)")


# -- the Debian package ------------------------------------------------------------------------------------

DEBIAN = ROOT / "deploy" / "debian"
SCRIPTS = ("postinst", "prerm", "postrm")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_maintainer_script_is_one_that_a_shell_understands(name):
    path = DEBIAN / name
    assert path.stat().st_mode & 0o111
    assert path.read_text().startswith("#!/bin/sh\n")
    call("sh", "-n", path)


def test_the_settings_are_nobodys_but_the_operators():
    """No script writes them, and they are no file of the package: only `purge` takes them away."""
    for name in ("postinst", "prerm"):
        for line in (DEBIAN / name).read_text().splitlines():
            if re.search(r"config\.yaml|\$CONFIG", line):
                assert re.match(r" *(CONFIG=|elif \[ ! -e|echo )", line), line
    build = (DEBIAN / "build").read_text()
    assert "$tree/etc/vsi_esl/config" not in build
    assert '$1" = purge ]; then\n  rm -rf /etc/vsi_esl ' in (DEBIAN / "postrm").read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_maintainer_script_knows_each_unit_of_the_package(name):
    """Which are in it says `build`: all of deploy/systemd."""
    units = sorted(path.name for path in (ROOT / "deploy" / "systemd").glob("*.service"))
    assert sorted(re.findall(r"> \"\$units/(.+?)\"", (DEBIAN / "build").read_text())) == units
    assert [unit for unit in units if unit not in (DEBIAN / name).read_text()] == []


STATE = [
    *("state.sqlite3", "state.sqlite3-wal", "state.sqlite3.lock", "state.sqlite3.recent.1", "events.sqlite3"),
    *(
        "webhooks.sqlite3-shm",
        "webhooks.sqlite3.arrivals.1",
        "state.sqlite3.before-import-1",
        "spool/tone.wav",
        "tts_cache/ab/hello.wav",
    ),
]


def purged(machine: Path, action: str = "purge") -> str:
    """What postrm says on a machine whose root is that directory."""
    script = re.sub(r"(?<![\w/.])/(?=var/|etc/|run/)", f"{machine}/", (DEBIAN / "postrm").read_text())
    assert script.count(str(machine)) > 5
    return call("sh", "-c", script, "postrm", action)


def laid(machine: Path, *names: str) -> None:
    for name in names:
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text("x")


def test_purge_leaves_nothing_of_the_package(tmp_path):
    """Also of who ran commands as the service's user by hand: those have their state in its home."""
    homes = [f"var/lib/{name}" for name in ("vsi_esl", "vsi_companion", "vsi_esl/.local/state/vsi_esl")]
    laid(tmp_path, *(f"{home}/{name}" for home in homes for name in STATE))
    laid(tmp_path, "etc/vsi_esl/config.yaml", "etc/vsi_companion/config.yaml")
    for empty in ("var/lib/vsi_esl/recordings", "var/lib/vsi_companion/uploads", "var/log/vsi_esl"):
        (tmp_path / empty).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    assert purged(tmp_path, "upgrade") == purged(tmp_path, "remove") == ""
    assert sorted(tmp_path.rglob("*")) == before
    assert purged(tmp_path) == ""
    assert not [path for path in tmp_path.rglob("*") if "vsi" in path.name]
    assert purged(tmp_path) == "", "once more does no harm"


def test_purge_keeps_what_is_the_operators_and_says_where(tmp_path):
    """Recordings, uploads that have not been made, and call detail records."""
    kept = [
        "var/lib/vsi_esl/recordings/a/call.wav",
        "var/lib/vsi_esl/.local/state/vsi_esl/recordings/try.wav",
        "var/lib/vsi_companion/uploads/1.json",
        "var/log/vsi_esl/cdr.jsonl",
    ]
    laid(tmp_path, *kept, *(f"var/lib/vsi_esl/{name}" for name in STATE))
    said = purged(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        tmp_path / one for one in kept
    )
    assert re.findall(r"/var/(\S+) stays, with (\d+) files", said) == [
        ("lib/vsi_esl", "2"),
        ("lib/vsi_companion", "1"),
        ("log/vsi_esl", "1"),
    ]


@pytest.mark.slow
@pytest.mark.skipif("TEST_DEB" not in os.environ, reason="takes minutes: TEST_DEB=1 asks for it")
@needs_git
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg is not installed")
def test_a_package_is_built_and_its_program_runs(tmp_path):
    """Needs the registry of Python packages."""
    python = shutil.which("python3", path="/usr/bin")
    if python is None or subprocess.run([python, "-c", "import ensurepip, venv"], check=False).returncode:
        pytest.skip("python3-venv is not installed")
    built = subprocess.run(
        [DEBIAN / "build"],
        env={**os.environ, "BUILDER": sys.executable, "OUTPUT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-4000:]
    (package,) = tmp_path.glob("vsi-esl_*.deb")
    call("dpkg-deb", "-x", package, tmp_path / "tree")
    tree = tmp_path / "tree"
    assert (tree / "usr/bin/vsi-esl").is_symlink()
    for unit, program in (("vsi_esl", "serve"), ("vsi_companion", "companion")):
        text = (tree / f"usr/lib/systemd/system/{unit}.service").read_text()
        assert f"\nExecStart=/usr/bin/vsi-esl {program} --config /etc/{unit}/config.yaml\n" in text
    assert not list(tree.rglob("etc/**/config.yaml"))
    (packages,) = tree.glob("usr/lib/vsi_esl/lib/python*/site-packages")
    said = call(python, "-m", "vsi_esl", "--version", env={"PYTHONPATH": str(packages)}, cwd="/")
    assert said == f"vsi-esl, version {__version__}\n"
    here = re.compile(re.escape(str(ROOT)).encode())
    small = (path for path in tree.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20)
    assert [path for path in small if here.search(path.read_bytes())] == [], "no path of the builder's"


# -- the container -----------------------------------------------------------------------------------------

CONTAINER = ROOT / "deploy" / "container"


def test_the_image_runs_the_service_as_nobody_special():
    lines = (CONTAINER / "Containerfile").read_text().splitlines()
    assert lines.index("USER vsi_esl") < lines.index('ENTRYPOINT ["vsi-esl"]')
    assert 'CMD ["serve"]' in lines
    assert [line for line in lines if "/readyz" in line and "http://127.0.0.1:8080" in line]


def test_what_compose_starts_is_there_and_its_settings_are_settings():
    services = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]
    for service in services.values():
        command = service.get("command", ["serve"])
        assert command[0] in COMMANDS
        load(None, service.get("environment", {}))
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert services["service"]["network_mode"] == "service:switch", "both are on one loopback"
