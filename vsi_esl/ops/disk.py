"""How full the disks are that the service writes to.

Asked in a thread of its own, and seldom: a file system that is away may not answer for minutes, and then the
last figures stand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import gevent
from prometheus_client.core import GaugeMetricFamily, Metric

from .. import lasting
from ..storage.thread import StorageThread

EVERY_S = 30.0
STOP_S = 0.2


class DiskWatch:
    """Looks at these directories, by what they are for. One that is not there yet is as its parent."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._thread = StorageThread()
        self._figures: dict[str, tuple[int, int]] = {}
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        self._greenlet = lasting.keep(self._look_on)

    def stop(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
        self._thread.stop(STOP_S)

    def series(self) -> Iterator[Metric]:
        """For /metrics."""
        free = GaugeMetricFamily("vsi_esl_disk_free_bytes", "Room on the disk of a place.", labels=["place"])
        size = GaugeMetricFamily("vsi_esl_disk_size_bytes", "Size of the disk of a place.", labels=["place"])
        for place, (left, whole) in self._figures.items():
            free.add_metric([place], left)
            size.add_metric([place], whole)
        yield free
        yield size

    def _look_on(self) -> None:
        while True:
            for place, path in self._places.items():
                figures = self._thread.run(_figures, path)
                if figures is not None:
                    self._figures[place] = figures
            gevent.sleep(EVERY_S)


def _figures(path: str) -> tuple[int, int] | None:
    """Bytes that we may still write, and bytes in all."""
    path = os.path.abspath(path)
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
