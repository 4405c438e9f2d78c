"""`make dist`: the wheel and the source archive in dist/, byte for byte the same from the same commit.

What git does not know is not in them. Times are those of the commit, or $SOURCE_DATE_EPOCH; owners and modes
do not depend on who builds. Needs setuptools.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILT = ("dist", "build")
BUILD = """
import sys
from setuptools import build_meta
output = sys.argv[1]
build_meta.build_sdist(output)
build_meta.build_wheel(output)
"""


def files() -> list[Path]:
    """What belongs to the project, below its root: git's files, or all of them where there is no git."""
    if (ROOT / ".git").exists():
        listed = git("ls-files", "-z").split("\0")
        return [
            Path(name) for name in listed if name and (ROOT / name).is_symlink() | (ROOT / name).is_file()
        ]
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_symlink() or path.is_file()]
    return [path for path in found if not path.parts[0].startswith((".venv", *BUILT))]


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True).stdout


def epoch() -> int:
    """Seconds that stand for the time of the build."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    return int(git("log", "-1", "--format=%ct")) if (ROOT / ".git").exists() else 315532800


def copy(target: Path, time: int) -> None:
    """The project's files alone, with the modes that git knows."""
    for name in files():
        source, to = ROOT / name, target / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, to, follow_symlinks=False)
        if not to.is_symlink():
            to.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
            os.utime(to, (time, time))


def level(archive: Path, time: int) -> None:
    """Have a source archive without anything of the build in it but its files."""
    with (
        tarfile.open(archive) as made,
        open(archive.with_suffix(".new"), "wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=time) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as levelled,
    ):
        for one in sorted(made.getmembers(), key=lambda one: one.name):
            content = made.extractfile(one)
            one.uid = one.gid = 0
            one.uname = one.gname = "root"
            one.mtime = time
            one.mode = 0o755 if one.isdir() or one.mode & 0o100 else 0o644
            one.pax_headers = {}
            levelled.addfile(one, content)
    archive.with_suffix(".new").rename(archive)


def build(output: Path) -> list[Path]:
    """Both, in the directory `output`."""
    time = epoch()
    with tempfile.TemporaryDirectory() as place:
        sources, made = Path(place) / "sources", Path(place) / "made"
        made.mkdir()
        copy(sources, time)
        environ = {**os.environ, "SOURCE_DATE_EPOCH": str(time), "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-W", "ignore", "-c", BUILD, str(made)]
        done = subprocess.run(
            command, cwd=sources, env=environ, umask=0o022, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{done.stdout[-2000:]}{done.stderr[-4000:]}")
        for archive in made.glob("*.tar.gz"):
            level(archive, time)
        output.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(one, output)) for one in sorted(made.iterdir())]


if __name__ == "__main__":
    for one in build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"):
        print(f"{one}  {one.stat().st_size:,} bytes")
