"""`vsi-esl freeswitch-conf`: our files into a FreeSWITCH configuration, and what is left to do by hand."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

PACKAGE = Path(__file__).parents[1]
LISTS = ("autoload_configs/modules.vsi.xml", "autoload_configs/switch.vsi.xml", "README.md")
"""To be read, not loaded: beside a switch's own files they would be a second configuration of that name."""

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
MODULE = re.compile(r'<load module="(\w+)"')

TO_LOAD = """\
Then, while the switch runs:

  fs_cli -x reloadxml                  # also sets the variables of vars_vsi.xml
  fs_cli -x reloadacl
  fs_cli -x 'sofia profile vsi start'
  fs_cli -x 'load mod_verto'           # WebRTC legs; `reload` where it is loaded: ends its other calls
  fs_cli -x 'fsctl sps 300'            # for good: sessions-per-second in switch.conf.xml
  vsi-esl doctor
"""


@dataclass(frozen=True, slots=True)
class Line:
    """What a file of the switch's own must have: the line, the end of the element it goes into, and what
    shows that it is there, or was pasted in full."""

    text: str
    before: str
    shows: str


LINES = {
    "vars.xml": Line('<X-PRE-PROCESS cmd="include" data="vars_vsi.xml"/>', "</include>", r"vars_vsi\.xml"),
    "autoload_configs/conference.conf.xml": Line(
        '<X-PRE-PROCESS cmd="include" data="../vsi/conference_profiles.xml"/>',
        "</profiles>",
        r'conference_profiles\.xml|name="vsi8000"',
    ),
    "autoload_configs/verto.conf.xml": Line(
        '<X-PRE-PROCESS cmd="include" data="../vsi/verto_profiles.xml"/>',
        "</profiles>",
        r"verto_profiles\.xml|vsi_verto_port",
    ),
    "autoload_configs/acl.conf.xml": Line(
        '<X-PRE-PROCESS cmd="include" data="../vsi/acl_lists.xml"/>',
        "</network-lists>",
        r'acl_lists\.xml|name="vsi_trunks"',
    ),
}
KEPT = {"autoload_configs/event_socket.conf.xml": "yours; give its port and password to the service"}
"""Files of the switch that may stay as they are."""


@click.command("freeswitch-conf")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--diff", is_flag=True, help="Write nothing; show what is missing or differs (exit code 1).")
def freeswitch_conf(directory: Path, diff: bool) -> None:
    """Put the service's files into the FreeSWITCH configuration DIR, such as /etc/freeswitch.

    A file that is there is never changed: what it lacks is said, line by line. In a directory that is no
    FreeSWITCH configuration, all files are laid down to be read.
    """
    beside = (directory / "freeswitch.xml").exists()
    if diff:
        found = "".join(_differences(directory, beside))
        click.echo(found, nl=False)
        sys.exit(1 if found else 0)
    for name, source in _files(beside):
        click.echo(_put(directory, name, source))
    if beside:
        by_hand = list(_by_hand(directory))
        click.echo("\nTo be done by hand:\n" if by_hand else "\nNothing is left to be done by hand.")
        for text in by_hand:
            click.echo(text)
        click.echo(f"\n{TO_LOAD}", nl=False)


def _files(beside: bool) -> Iterator[tuple[str, Path]]:
    """Our files, by their name below the configuration directory."""
    conf = PACKAGE / "freeswitch_conf"
    for path in sorted(conf.rglob("*")):
        name = str(path.relative_to(conf))
        if path.is_file() and not (beside and name in LISTS):
            yield name, path
    yield "dialplan/vsi.xml", PACKAGE / "dialplan" / "vsi.xml"


def _put(directory: Path, name: str, source: Path) -> str:
    """Write one file if there is none; what became of it."""
    target, text = directory / name, source.read_text()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        _as_readable(target, directory / "vars.xml")
        return f"written   {name}"
    if target.read_text(errors="replace") == text:
        return f"the same  {name}"
    if name in LINES:
        return f"yours     {name}"
    return f"kept      {name}  ({KEPT.get(name, 'differs: see --diff')})"


def _as_readable(target: Path, like: Path) -> None:
    """The switch's user must be able to read it, and nobody else who cannot read its other passwords."""
    if like.exists():
        status = like.stat()
        target.chmod(status.st_mode & 0o777)
        if os.geteuid() == 0:
            os.chown(target, status.st_uid, status.st_gid)


def _lacking(directory: Path) -> Iterator[tuple[str, Line, str]]:
    """Files of the switch's own that lack our line, and their text."""
    for name, line in LINES.items():
        path = directory / name
        if path.exists():
            text = path.read_text(errors="replace")
            if not re.search(line.shows, COMMENT.sub("", text)):
                yield name, line, text


def _by_hand(directory: Path) -> Iterator[str]:
    for name, line, _ in _lacking(directory):
        yield f"  {name}: before its last {line.before}\n      {line.text}"
    if missing := _modules(directory):
        yield f"  autoload_configs/modules.conf.xml: load {', '.join(missing)}"


def _modules(directory: Path) -> list[str]:
    """Modules that we need and that the switch does not load."""
    path = directory / "autoload_configs" / "modules.conf.xml"
    if not path.exists():
        return []
    loaded = MODULE.findall(COMMENT.sub("", path.read_text(errors="replace")))
    wanted = MODULE.findall((PACKAGE / "freeswitch_conf" / LISTS[0]).read_text())
    return [name for name in wanted if name not in loaded]


def _differences(directory: Path, beside: bool) -> Iterator[str]:
    """A unified diff from what is there to what would do."""
    for name, source in _files(beside):
        target = directory / name
        if name in KEPT or (name in LINES and beside and target.exists()):
            continue
        there = target.read_text(errors="replace") if target.exists() else ""
        yield _unified(directory, name, there, source.read_text())
    if beside:
        for name, line, text in _lacking(directory):
            place = text.rfind(line.before)
            place = text.rfind("\n", 0, place) + 1
            yield _unified(directory, name, text, f"{text[:place]}  {line.text}\n{text[place:]}")


def _unified(directory: Path, name: str, there: str, ours: str) -> str:
    path = str(directory / name)
    return "".join(
        difflib.unified_diff(there.splitlines(True), ours.splitlines(True), path, path + " (vsi_esl)")
    )
