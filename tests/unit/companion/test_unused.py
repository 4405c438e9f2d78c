"""A service without companions has nothing of them in memory."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import sys
from vsi_esl import app, features
features.declare()
print([name for name in sys.modules if name.startswith(("vsi_esl.wire", "vsi_esl.companion"))])
"""


def test_nothing_of_it_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
