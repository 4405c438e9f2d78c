"""A service whose files cannot all be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.settings import StateSettings
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.storage.database import StateError


def foreign(path: Path) -> None:
    path.write_bytes(b"this is no database, and long enough to be seen as one " * 20)


def in_the_way(path: Path) -> None:
    """Nor can it be put aside."""
    foreign(path)
    Path(f"{path}.unreadable", "another").mkdir(parents=True)


def held_files(directory: Path) -> list[str]:
    """What this process has open there."""
    links = [os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    return [
        target
        for one in links
        if os.path.exists(one) and (target := os.readlink(one)).startswith(str(directory))
    ]


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("state.sqlite3", foreign, "cannot open the state database"),
        ("events.sqlite3", in_the_way, r"cannot put .*events\.sqlite3 aside"),
        ("webhooks.sqlite3", foreign, "cannot open the webhook outbox"),
        ("webhooks.sqlite3.arrivals.1", Path.mkdir, "on its way to the webhook outbox"),
    ],
)
def test_a_service_that_cannot_be_made_lets_go_of_every_file(tmp_path, name, damage, said):
    config = Config(
        state=StateSettings(path=str(tmp_path / "state.sqlite3")),
    ).having(
        RecordingSettings(dir=str(tmp_path / "recordings")),
        PlaybackSettings(spool_dir=str(tmp_path / "spool")),
    )
    damage(tmp_path / name)
    for _ in range(2):  # the second time too for what it is, not because the first one is still there
        with pytest.raises(StateError, match=said):
            Service(config)
        assert held_files(tmp_path) == []
