"""What goes into a bundle: one function for each file of it. Each may fail, and none has long."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import gevent

from ... import __version__
from ...app import webhook_path
from ...config import Config, ConfigError, Loaded, describe, load
from ...config.settings import SwitchSettings
from ...net.addresses import host_port
from ...switch.esl.client import EslClient
from ...switch.lines import builder
from .. import doctor, http_get
from ..options import beside_the_service
from . import secrets

MAX_TEXT = 8 << 20
"""Bytes of one file; of more the end is kept, which is the newest."""
COMMAND_S = 15.0
MAX_SWITCHES = 10
UNIT_PROPERTIES = (
    "ActiveState,SubState,Result,NRestarts,ExecMainStartTimestamp,ExecMainStatus,MainPID,MemoryCurrent,"
    "MemoryPeak,TasksCurrent,LimitNOFILE,Type,WatchdogUSec,FragmentPath,DropInPaths"
)
COUNTED = ("legs", "rooms", "items", "events", "dead")


class NotHere(Exception):
    """There is nothing to collect; the message says why."""


@dataclass(slots=True)
class Asked:
    """What somebody wants a bundle of. `loaded` is None when the settings cannot be read, for `problem`."""

    url: str
    token: str
    unit: str
    log_file: str
    lines: int
    loaded: Loaded | None
    problem: str = ""

    @property
    def config(self) -> Config:
        """The settings; NotHere when there are none."""
        if self.loaded is None:
            raise NotHere(f"the settings cannot be read: {self.problem}")
        return self.loaded.config


def settings_of(path: str | None) -> tuple[Loaded | None, str]:
    """The settings, or why there are none."""
    try:
        return load(path, beside_the_service()), ""
    except (ConfigError, OSError) as error:
        return None, str(error)


def versions(asked: Asked) -> dict[str, Any]:
    return {
        "vsi_esl": __version__,
        "python": sys.version,
        "program": sys.argv[0],
        "prefix": sys.prefix,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def packages(asked: Asked) -> str:
    found = {f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions()}
    return "\n".join(sorted(found, key=str.lower))


def settings(asked: Asked) -> list[dict[str, str]]:
    if asked.loaded is None:
        raise NotHere(asked.problem)
    return describe(asked.loaded)


def findings(asked: Asked) -> list[dict[str, str]]:
    return [asdict(check) for check in doctor.checks(asked.config)]


def readiness(asked: Asked) -> Any:
    status, body = http_get.get(asked.url, "/readyz", asked.token)
    return f"{status}\n{body.decode('utf-8', 'replace')}"


def metrics(asked: Asked) -> str:
    status, body = http_get.get(asked.url, "/metrics", asked.token)
    if status != 200:
        raise NotHere(f"/metrics answers {status}")
    return body.decode("utf-8", "replace")


def state(asked: Asked) -> dict[str, Any]:
    config = asked.config
    found: dict[str, Any] = {}
    for path in (config.state.path, webhook_path(config)):
        if path == ":memory:":
            found[path] = "in the service's memory"
            continue
        if not os.path.exists(path):
            found[path] = "not there"
            continue
        tables = {}
        with closing(secrets.read_only(path)) as db:
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for name in sorted(names & set(COUNTED)):
                (tables[name],) = db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()  # noqa: S608
            (schema,) = db.execute("PRAGMA user_version").fetchone()
        found[path] = {"schema": schema, "rows": tables}
    directory = Path(config.state.path).absolute().parent
    found["files"] = {
        one.name: {"bytes": one.stat().st_size, "mode": oct(one.stat().st_mode & 0o7777)}
        for one in (sorted(directory.iterdir()) if directory.is_dir() else ())
        if one.is_file()
    }
    return found


def journal(asked: Asked) -> str:
    if asked.log_file:
        return _end_of(asked.log_file, asked.lines)
    return _said(
        "journalctl", "-u", asked.unit, "-n", str(asked.lines), "--no-pager", "-o", "short-iso-precise"
    )


def unit(asked: Asked) -> str:
    return _said("systemctl", "show", asked.unit, "--no-pager", "-p", UNIT_PROPERTIES)


def machine(asked: Asked) -> str:
    parts = [
        f"uname    {' '.join(platform.uname())}",
        f"cores    {os.cpu_count()}",
        f"load     {' '.join(f'{one:.2f}' for one in os.getloadavg())}",
        f"time     {time.strftime('%Y-%m-%dT%H:%M:%S%z')}",
    ]
    for path in ("/etc/os-release", "/proc/meminfo", "/proc/uptime", "/proc/sys/fs/file-nr"):
        if os.path.exists(path):
            parts.append(f"\n{path}\n{Path(path).read_text(errors='replace')}")
    directories = [asked.config.state.path] if asked.loaded else ["/"]
    for path in directories:
        usage = shutil.disk_usage(os.path.dirname(os.path.abspath(path)))
        parts.append(f"disk of the state: {usage.free >> 20} MiB free of {usage.total >> 20}")
    return "\n".join(parts)


def limits(asked: Asked) -> str:
    """Those of this process, and of the service where systemd knows it."""
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    rows = [f"{name:20} {resource.getrlimit(getattr(resource, name))}" for name in names]
    parts = ["this process", *rows]
    try:
        pid = _said("systemctl", "show", asked.unit, "-p", "MainPID", "--value").strip()
    except NotHere as error:
        return "\n".join([*parts, f"\nthe service: {error}"])
    process = Path("/proc") / pid
    if pid in ("", "0") or not process.is_dir():
        return "\n".join([*parts, "\nthe service does not run under systemd"])
    for name in ("limits", "status"):
        parts.append(f"\nthe service, {name}\n{(process / name).read_text(errors='replace')}")
    parts.append(f"open files: {len(list((process / 'fd').iterdir()))}")
    return "\n".join(parts)


def switch(asked: Asked) -> str:
    """What each switch says of itself."""
    config = asked.config
    listed = {one.name: one.settings for one in config.switches} or {"default": config.switch}
    parts = []
    for name, one in list(listed.items())[:MAX_SWITCHES]:
        parts.append(f"##### {name}: {host_port(one.host, one.port)}")
        try:
            parts.append(_of_switch(one))
        except Exception as error:
            parts.append(f"failed: {error}")
    if len(listed) > MAX_SWITCHES:
        parts.append(f"##### and {len(listed) - MAX_SWITCHES} more")
    return "\n\n".join(parts)


def _of_switch(one: SwitchSettings) -> str:
    profiles = dict.fromkeys((one.sofia_profile, one.sofia_profile_ipv6))
    commands = [*builder.ABOUT_ITSELF, builder.sofia_gateways()]
    commands += [builder.sofia_profile_status(profile) for profile in profiles if profile]
    client = EslClient(one.host, one.port, one.password, timeout=one.connect_timeout)
    client.connect()
    try:
        answers = client.send_many([builder.api(command) for command in commands])
    finally:
        client.stop()
    return "\n\n".join(f"### {command}\n{text}" for command, text in zip(commands, answers, strict=True))


def _end_of(path: str, lines: int) -> str:
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - MAX_TEXT))
        text = file.read(MAX_TEXT).decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


def _said(program: str, *arguments: str) -> str:
    """What a program of the system prints. NotHere when there is none, or it fails."""
    path = shutil.which(program)
    if path is None:
        raise NotHere(f"{program} is not on this machine")
    try:
        done = subprocess.run(  # noqa: S603  (nothing is passed to a shell)
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotHere(f"{program} was not done within {COMMAND_S:g} s") from None
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NotHere(f"{program} failed: {told[-1] if told else done.returncode}")
    return done.stdout[-MAX_TEXT:].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a bundle."""

    name: str
    about: str
    collect: Callable[[Asked], Any]
    seconds: float = 10.0
    figures: bool = False
    """Its numbers are figures of the machine, and no phone's."""

    def made(self, asked: Asked) -> Any:
        """What is in it, before anything is hidden. Any exception but those that end the program says why
        there is nothing."""
        late = gevent.Timeout(self.seconds, NotHere(f"not done within {self.seconds:g} s"))
        with late:
            return self.collect(asked)


PARTS = (
    Part("versions.json", "vsi_esl and Python", versions),
    Part("packages.txt", "Python packages beside it", packages, figures=True),
    Part("settings.json", "the settings in force, as `vsi-esl config show --json`", settings),
    Part("doctor.json", "what `vsi-esl doctor` finds", findings, 60.0),
    Part("readyz.txt", "what the service says of itself", readiness),
    Part("metrics.txt", "its figures", metrics),
    Part("state.json", "how much it remembers, in rows and bytes", state),
    Part("freeswitch.txt", "version, status, modules, SIP profiles and gateways of the switch", switch, 30.0),
    Part("journal.txt", "the end of the service's log", journal, 20.0),
    Part("unit.txt", "how systemd has the service", unit, 20.0, figures=True),
    Part("machine.txt", "operating system, memory, disk", machine, figures=True),
    Part("limits.txt", "resource limits", limits, 20.0, figures=True),
)
