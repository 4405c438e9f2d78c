"""`make bench`: figures with what they compare to, measured in one run. Never a pass or a fail."""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import psutil  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from tests.bench import (  # noqa: E402
    cluster,
    commands,
    events,
    faces,
    fairness,
    load,
    media,
    path,
    restart,
    rooms,
    sound,
    streams,
    tethers,
    webhooks,
    webrtc,
)
from vsi_esl.ops import logs  # noqa: E402

BENCHMARKS = {
    "decode": events.decode_and_translate,
    "end-to-end": events.end_to_end,
    "burst": events.burst,
    "cluster": cluster.cluster,
    "load": load.load,
    "mute": commands.mute,
    "command-path": path.command_path,
    "restart": restart.readopt,
    "restart-many": restart.readopt_many,
    "media": media.media,
    "sound": sound.sound,
    "streams": streams.streams,
    "rooms": rooms.rooms,
    "tethers": tethers.tethers,
    "rest": faces.rest,
    "fan-out": faces.fan_out,
    "replay": faces.replay,
    "replays": fairness.replays,
    "stalled": fairness.stalled,
    "webhooks": webhooks.delivered,
    "webrtc": webrtc.webrtc,
}


def machine() -> str:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    memory = psutil.virtual_memory().total >> 30
    return f"{model}, {psutil.cpu_count()} cores, {memory} GiB, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench", description="The benchmarks, or some of them.")
    known = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    wanted = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in wanted if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {known}")
    logs.setup("error", "json", sys.stderr)
    table = Table("what", "figure", "compared to", title=machine())
    with tempfile.TemporaryDirectory(prefix="vsi-bench-", ignore_cleanup_errors=True) as scratch:
        # whatever a party makes of its own, in a process of its own, is gone with the run
        tempfile.tempdir = os.environ["TMPDIR"] = scratch
        for name in wanted:
            for row in BENCHMARKS[name]():
                table.add_row(*row)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
