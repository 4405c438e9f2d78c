"""What is read by many is light: it loads nothing that only a running service needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import sys
{then}
heavy = {{"gevent", "botocore", "boto3", "flask", "numpy", "marshmallow", "greenswitch", "prometheus_client"}}
found = {{name for name in sys.modules if name.partition(".")[0] in heavy}}
ours = ("vsi_esl.delivery", "vsi_esl.calls", "vsi_esl.switch")
found |= {{name for name in sys.modules if name.startswith(ours)}}
print(sorted(found))
"""


COMPLETED = """
import contextlib, io, os, vsi_esl.cli
line = {line!r}
os.environ.update(COMP_LINE=line, COMP_POINT=str(len(line)), _VSI_ESL_COMPLETE="bash_complete")
said = io.TextIOWrapper(io.BytesIO())
with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
    vsi_esl.cli.main()
assert said.buffer.getvalue().count(b"plain,") > 1
"""
"""A shell waits for it."""


@pytest.mark.parametrize(
    "then",
    [
        "import vsi_esl.config",
        "from vsi_esl.config import describe, load; describe(load(None, {}))",
        "from vsi_esl.config import reference_table; assert '`RECORDING_DIR`' in reference_table()",
        "import vsi_esl.events, vsi_esl.model, vsi_esl.access.tokens",
        "import vsi_esl.cli",
        COMPLETED.format(line="vsi-esl "),
        COMPLETED.format(line="vsi-esl call create_leg type="),
    ],
)
def test_it_loads_nothing_of_a_running_service(then):
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(then=then)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
