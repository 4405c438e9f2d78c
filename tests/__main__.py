"""`python -m tests`: every test, part by part, some parts at a time.

Each part is a process of its own, since one process uses one core at most. Names of parts choose them; what
is behind `--` goes to each pytest: `python -m tests unit contract -- -x`.
"""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import tempfile
import time

BOTH = sorted(glob.glob("tests/conformance/test_*.py") + glob.glob("tests/service/test_*.py"))
PARTS = {  # the longest first
    "freeswitch": ["tests/freeswitch"],
    "service-1": BOTH[::2],
    "service-2": BOTH[1::2],
    "unit": ["tests/unit"],
    # what a command does is in tests/conformance; of what is ours the face that asked for it is no part
    "rest": ["tests/conformance", "--face=rest"],
    "contract": ["tests/contract"],
}
AT_ONCE = os.cpu_count() or 1
"""Parts at a time. With one more already the figures of sound and time that some tests measure suffer."""
POLL_S = 0.1
NO_TESTS = 5
"""pytest's exit code when there was nothing to run, as with `-- -k name` in most parts."""


class Run:
    """One part under way."""

    def __init__(self, part: str, options: list[str]) -> None:
        self.part = part
        self.started = time.monotonic()
        command = [sys.executable, "-m", "pytest", *PARTS[part], *options]
        self._output = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115 - read at the end
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT
        )

    def done(self) -> bool:
        return self._process.poll() is not None

    def finish(self) -> bool:
        """Print what it printed; whether it passed."""
        print(f"== {self.part}: {time.monotonic() - self.started:.0f} s")
        self._output.seek(0)
        print(self._output.read(), flush=True)
        return self._process.returncode in (0, NO_TESTS)

    def stop(self) -> None:
        self._process.terminate()


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    waiting, options = arguments[:split] or list(PARTS), arguments[split + 1 :]
    if unknown := set(waiting) - set(PARTS):
        print(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
        return 2
    running: list[Run] = []
    passed = True
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(Run(waiting.pop(0), options))
            for run in [run for run in running if run.done()]:
                running.remove(run)
                passed = run.finish() and passed
            time.sleep(POLL_S)
    finally:
        for run in running:
            run.stop()
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
