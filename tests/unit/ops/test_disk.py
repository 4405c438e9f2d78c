"""How full disks are."""

from __future__ import annotations

import os
from pathlib import Path

import gevent
import pytest

from vsi_esl.ops import disk
from vsi_esl.ops.disk import DiskWatch


def figures(watch: DiskWatch) -> dict[tuple[str, str], float]:
    return {(one.name, one.samples[0].labels["place"]): one.samples[0].value for one in watch.series()}


@pytest.fixture
def watch(tmp_path: Path):
    """One that has looked at a directory that is not there yet."""
    watch = DiskWatch({"spool": str(tmp_path / "not" / "there")})
    watch.start()
    with gevent.Timeout(20):
        while not watch._figures:
            gevent.sleep(0.01)
    yield watch
    watch.stop()


def test_a_directory_that_is_to_come_is_on_its_parents_disk(watch, tmp_path):
    of_parent = os.statvfs(tmp_path)
    found = figures(watch)
    assert found["vsi_esl_disk_size_bytes", "spool"] == of_parent.f_blocks * of_parent.f_frsize
    assert 0 < found["vsi_esl_disk_free_bytes", "spool"] <= found["vsi_esl_disk_size_bytes", "spool"]


def test_the_last_figures_stand_while_a_disk_does_not_answer(watch, monkeypatch):
    before = figures(watch)

    def away(path: str) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", away)
    assert disk._figures("/") is None
    assert figures(watch) == before
