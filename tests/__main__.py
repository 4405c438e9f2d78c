"""`python -m tests`: every test, part by part, some parts at a time.

Each part is a process of its own, since one process uses one core at most. Names of parts choose them; what
is behind `--` goes to each pytest: `python -m tests unit-1 unit-2 -- -x`.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BOTH = sorted(glob.glob("tests/conformance/test_*.py") + glob.glob("tests/service/test_*.py"))
UNIT = sorted(glob.glob("tests/unit/**/test_*.py", recursive=True))
PARTS = {  # the longest first; what keeps a core busy beside what does as well, and not beside sound
    "freeswitch": ["tests/freeswitch"],
    "service-1": BOTH[::2],
    "service-2": BOTH[1::2],
    "unit-1": UNIT[::2],
    # what is beside the package: documents, packages, roles; one version of Python is enough
    "operations": ["tests/operations"],
    "unit-2": UNIT[1::2],
    # what a command does is in tests/conformance; of what is ours the face that asked for it is no part
    "rest": ["tests/conformance", "--face=rest"],
    "contract": ["tests/contract"],
    "chaos": ["tests/chaos"],
}
AT_ONCE = os.cpu_count() or 1
"""Parts at a time. With one more already the figures of sound and time that some tests measure suffer."""
BESIDE = ("rest", "contract")
"""Parts that measure nothing: one of them runs beside the others, in what these leave of the machine, from
when the first of them has ended; until then continuous integration has another Python's units there."""
FIRST = ("freeswitch",)
"""Parts whose peers, service and switch make and hear sound in real time: they come before the others where
this process may arrange that, as root. Elsewhere `nice` says that it could not, and they run all the same."""
MOST_AGAIN = 5
"""Tests of a part that are run once more when they failed and nothing else is under way: a machine that stood
still for three seconds, as one with two cores was seen to, does so at the same place no more, but a fault is
there again. Both outcomes are printed."""
MOST_LINES = 40
"""Of one part in the digest of what failed, which comes last: of a long log often the end alone is shown."""
POLL_S = 0.1
SOME_FAILED = 1
"""pytest's exit code when all has run, and some tests have failed."""
NO_TESTS = 5
"""pytest's exit code when there was nothing to run, as with `-- -k name` in most parts."""


class Run:
    """One part under way."""

    def __init__(self, part: str, options: list[str], again: bool = False) -> None:
        self.part = part
        self.again = again
        self.started = time.monotonic()
        self.digest: list[str] = []
        """What failed and why, in a few lines, once it has ended."""
        # its plugin takes a second or two to be imported
        without = () if part == "contract" else ("-p", "no:schemathesis")
        command = [sys.executable, "-m", "pytest", "-rfE", *without, *PARTS[part], *options]
        if part in BESIDE:
            command = ["nice", *command]
        elif part in FIRST:
            command = ["nice", "-n", "-10", *command]
        command += ["-o", f"cache_dir={cache(part)}", "--lf" if again else "--cache-clear"]
        self._output = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115 - read at the end
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT
        )

    def done(self) -> bool:
        return self._process.poll() is not None

    @property
    def ran_through(self) -> bool:
        """Whether pytest came to the end of it: what cannot be collected has no test that failed."""
        return self._process.returncode in (0, SOME_FAILED)

    def finish(self) -> bool:
        """Print what it printed; whether it passed."""
        what = f"{self.part}, what failed there, once more" if self.again else self.part
        print(f"== {what}: {time.monotonic() - self.started:.0f} s")
        self._output.seek(0)
        output = self._output.read()
        print(output, flush=True)
        passed = self._process.returncode in (0, NO_TESTS)
        self.digest = [] if passed else [f"-- {what}", *said_of_failures(output)]
        return passed

    def stop(self) -> None:
        self._process.terminate()


def said_of_failures(output: str) -> list[str]:
    """Which tests failed in what pytest printed, and what their assertions said."""
    lines = output.splitlines()
    names = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    reasons = [line for line in lines if line.startswith("E   ")]
    return [*names[:MOST_LINES], *reasons[:MOST_LINES]] or lines[-MOST_LINES:]


def cache(part: str) -> Path:
    """Where pytest notes what failed in this part with this Python. What runs at a time, another Python's
    units among it, would overwrite each other's notes."""
    return Path(".pytest_cache", f"{part}-{sys.version_info[0]}.{sys.version_info[1]}")


def may_be_run_again(part: str) -> bool:
    """Whether what failed in a part, all of which has run, may have failed by the machine."""
    try:
        failed = json.loads((cache(part) / "v" / "cache" / "lastfailed").read_text())
    except (OSError, ValueError):
        return False
    return 0 < len(failed) <= MOST_AGAIN


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    waiting, options = arguments[:split] or list(PARTS), arguments[split + 1 :]
    if unknown := set(waiting) - set(PARTS):
        print(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
        return 2
    beside = [part for part in waiting if part in BESIDE]
    waiting = [part for part in waiting if part not in BESIDE]
    parts = len(waiting)
    running: list[Run] = []
    again: list[str] = []
    digest: list[str] = []
    passed = True
    try:
        while waiting or running or beside:
            others = sum(run.part not in BESIDE for run in running)
            if waiting and others < AT_ONCE:
                running.append(Run(waiting.pop(0), options))
            elif beside and others == len(running) and (others + len(waiting) < parts or not parts):
                running.append(Run(beside.pop(0), options))
            for run in [run for run in running if run.done()]:
                running.remove(run)
                if run.finish():
                    continue
                digest += run.digest
                if run.ran_through and may_be_run_again(run.part) and not run.again:
                    again.append(run.part)
                else:
                    passed = False
            if again and not (waiting or running or beside):
                running.append(Run(again.pop(), options, again=True))
            time.sleep(POLL_S)
    finally:
        for run in running:
            run.stop()
    if digest:
        print("== what failed once" if passed else "== what failed", *digest, sep="\n", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
