"""`python -m tests.chaos --seconds 600 --seed 7`: faults at random under a load of calls, and was all well?

It runs in process ids, mounts and networks of its own, which end with it: nothing of the machine is touched,
and nothing is left of it, also after kill -9. It needs root, iproute2 and /dev/net/tun.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from .checker import check, report
from .director import REDIS, Options, Run
from .faults import plan
from .history import History
from .places import Unable
from .processes import companion_of

PR_SET_PDEATHSIG = 1
INSIDE = "--inside"
NEEDED = ("ip", "nsenter", "unshare", "mount")


def unable() -> str:
    """Why this machine cannot do it; empty when it can."""
    if os.geteuid():
        return "it needs root, for network namespaces"
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        return f"not installed: {', '.join(missing)} (iproute2, util-linux)"
    trial = "mount -t tmpfs none /run && mkdir /run/netns && ip netns add a && ip -n a tuntap add t mode tun"
    done = subprocess.run([*_alone(), "sh", "-c", trial], capture_output=True, text=True, check=False)
    return f"no namespaces or no tun here: {done.stderr.strip()}" if done.returncode else ""


def _alone() -> list[str]:
    return ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the load lasts")
    parser.add_argument("--seed", type=int, help="what is drawn; printed, so that it can be repeated")
    parser.add_argument("--switch", choices=("sandbox", "freeswitch"), default="sandbox")
    parser.add_argument("--switches", type=int, default=1, help="how many of them")
    parser.add_argument("--services", type=int, default=1, help="how many of them; several have a Redis")
    parser.add_argument(
        "--tethers", action="store_true", help="legs are in rooms of other switches (freeswitch)"
    )
    parser.add_argument(
        "--groups", action="store_true", help="with --tethers: each switch is a group, which grow together"
    )
    parser.add_argument("--companions", action="store_true", help="each switch has one")
    parser.add_argument("--calls", type=int, default=12, help="how many calls are up at a time")
    parser.add_argument("--keep", type=Path, help="directory for notes and logs")
    parser.add_argument(
        "--only", default="", help="a regular expression for the faults, such as 'kill service'"
    )
    parser.add_argument("--plan", action="store_true", help="print the faults, and do nothing")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main(given: list[str]) -> int:
    options = arguments(given)
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    services = [f"service{number}" for number in range(options.services)]
    redis = [REDIS] if options.services > 1 else []
    switches = [f"switch{number}" for number in range(options.switches)]
    companions = [companion_of(one) for one in switches] if options.companions else []
    faults = plan(seed, options.seconds, services, switches, redis, options.only, companions)
    if options.tethers and options.switch != "freeswitch":
        print("cannot run: --tethers: sandboxes call each other in one process only")
        return 2
    if options.plan:
        print("\n".join(f"{one.at:8.2f} {one}" for one in faults))
        return 0
    if not options.inside:
        if reason := unable():
            print(f"cannot run: {reason}")
            return 2
        # when whoever started this is gone, so is all of it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        rest = [one for one in given if one != INSIDE]
        os.execvp(
            "unshare", [*_alone(), sys.executable, "-m", "tests.chaos", *rest, "--seed", str(seed), INSIDE]
        )
    again = f"python -m tests.chaos --seed {seed} --seconds {options.seconds:g} --switch {options.switch}"
    again += f" --switches {options.switches} --services {options.services} --calls {options.calls}"
    again += " --tethers" * options.tethers + " --groups" * options.groups
    again += " --companions" * options.companions
    print(f"{again} --only '{options.only}'" if options.only else again, flush=True)
    directory = (options.keep or Path(tempfile.mkdtemp(prefix="chaos-", dir="/dev/shm"))).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    kinds = [options.switch] * options.switches
    given_options = Options(
        seed,
        options.seconds,
        kinds,
        options.calls,
        directory,
        options.services,
        options.tethers,
        bool(companions),
        options.groups,
    )
    try:
        return _run(given_options, faults)
    finally:
        if options.keep is None:
            shutil.rmtree(directory, ignore_errors=True)


def _run(options: Options, faults: list) -> int:  # type: ignore[type-arg]
    for path in ("/run/netns",):
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
    run = Run(options)
    try:
        run.prepare()
        run.run(faults)
    except Unable as error:
        print(f"cannot run: {error}")
        return 2
    run.finish()
    history = History.read(options.directory / "notes.jsonl")
    print(f"{len(faults)} faults, {len(history.legs)} legs, {len(history.notes)} notes")
    problems = check(history)
    print("\n".join(report(history, problems)) if problems else "all was well", flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
