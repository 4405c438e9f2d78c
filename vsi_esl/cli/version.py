"""`vsi-esl --version`: the release, and in a checkout the commit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .. import __version__

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 2.0


def described(root: Path = ROOT) -> str:
    """Such as `0.1.0`; in a checkout `0.1.0 (git 3c5fa11)`, with `-dirty` when files differ from that."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return __version__
    command = [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    try:
        asked = subprocess.run(  # noqa: S603  (no argument is anybody else's)
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    commit = asked.stdout.strip()
    return f"{__version__} (git {commit})" if asked.returncode == 0 and commit else __version__
