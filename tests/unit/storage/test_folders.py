"""Directories shared with the switch: how they are made, and what is warned of."""

from __future__ import annotations

import os
import pwd

import numpy as np
import pytest

from vsi_esl.audio import wav
from vsi_esl.config import Config
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.storage import folders


@pytest.fixture
def good(tmp_path, monkeypatch):
    """A place where nothing is wrong: /tmp is only where the tests are."""
    monkeypatch.setattr(folders, "SHARED", ("/nowhere",))
    monkeypatch.setattr(folders, "_file_system", lambda _: "ext4")
    return tmp_path


def test_one_that_is_made_is_for_owner_and_group(good):
    before = os.umask(0o077)
    try:
        folders.make(str(good / "a" / "b"))
    finally:
        os.umask(before)
    assert os.stat(good / "a" / "b").st_mode & 0o7777 == 0o2770
    assert folders.risks(str(good / "a" / "b")) == []
    assert folders.risks(str(good / "not" / "there")) == []


def test_one_that_is_there_is_left_as_it_is(good):
    (good / "a").mkdir(mode=0o700)
    folders.make(str(good / "a"))
    assert os.stat(good / "a").st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o2771])
def test_one_that_everybody_can_get_into(good, mode):
    (good / "a").mkdir()
    (good / "a").chmod(mode)
    assert folders.risks(str(good / "a")) == [f"everybody can get into it (mode {mode:04o})"]


def test_one_below_tmp(tmp_path):
    assert any("/tmp" in risk for risk in folders.risks("/tmp/x/y"))
    assert any("/var/tmp" in risk for risk in folders.risks("/var/tmp/x"))
    assert not any("/tmp" in risk for risk in folders.risks("/tmpfiles"))


def test_one_in_memory(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text("a / ext4 rw 0 0\nb /mem tmpfs rw 0 0\nc /mem/disk ext4 rw 0 0\n")
    monkeypatch.setattr(folders, "MOUNTS", str(mounts))
    found = {path: folders._file_system(path) for path in ("/x", "/mem/x", "/mem", "/mem/disk/x", "/memory")}
    assert found == {
        "/x": "ext4",
        "/mem/x": "tmpfs",
        "/mem": "tmpfs",
        "/mem/disk/x": "ext4",
        "/memory": "ext4",
    }
    assert any("tmpfs" in risk for risk in folders.risks("/mem/x"))
    monkeypatch.setattr(folders, "MOUNTS", str(tmp_path / "none"))
    assert folders._file_system("/mem/x") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory away")
def test_one_of_a_stranger_or_below_it(good):
    (good / "theirs" / "ours").mkdir(parents=True, mode=0o700)
    os.chown(good / "theirs", 64999, 64999)
    (good / "theirs").chmod(0o700)
    expected = f"{good / 'theirs'} belongs to user 64999, who can replace what is in it"
    assert expected in folders.risks(str(good / "theirs"))
    assert expected in folders.risks(str(good / "theirs" / "ours"))
    # through a link it is the same directory
    (good / "link").symlink_to(good / "theirs" / "ours")
    assert expected in folders.risks(str(good / "link"))
    nobody = pwd.getpwnam("nobody")
    os.chown(good / "theirs", nobody.pw_uid, nobody.pw_gid)
    assert any("belongs to nobody" in risk for risk in folders.risks(str(good / "theirs")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody")
def test_root_that_looks_for_the_service_takes_its_directories_for_good(good, monkeypatch):
    """`doctor` by hand, beside a service that systemd runs as a user of its own."""
    home = good / "lib"
    for path in (home, home / "recordings"):
        path.mkdir()
        os.chown(path, 64999, 64999)
        path.chmod(0o2770)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert [risk for risk in folders.risks(str(home / "recordings")) if "who can replace" in risk]
    monkeypatch.setenv("STATE_DIRECTORY", str(home))
    assert folders.risks(str(home / "recordings")) == []
    os.chown(home / "recordings", 64998, 64998)
    assert len(folders.risks(str(home / "recordings"))) == 1, "another user is a stranger all the same"


def test_the_defaults_are_below_the_state_directory(monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/vsi_esl")
    config = Config()
    assert config.section(RecordingSettings).dir == "/var/lib/vsi_esl/recordings"
    assert config.section(PlaybackSettings).spool_dir == "/var/lib/vsi_esl/spool"


def test_spool_files_are_for_owner_and_group(tmp_path):
    path = str(tmp_path / "a.wav")
    wav.write_wav(path, 8000, np.zeros(8, np.int16))
    assert os.stat(path).st_mode & 0o777 == 0o640
