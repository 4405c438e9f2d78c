"""What systemd is told, and what it hands on."""

from __future__ import annotations

import os
import socket

import pytest

from vsi_esl.webrtc import keeping


@pytest.fixture(autouse=True)
def fresh():
    keeping.inherited.cache_clear()
    yield
    keeping.inherited.cache_clear()


def test_without_systemd_nothing_is_kept(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    keeper = keeping.keeper()
    assert not keeper and keeper.keep("x", 0) is False
    keeper.forget("x")


def test_what_is_kept_and_forgotten(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, open(os.devnull) as file:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        keeper = keeping.keeper()
        assert keeper.keep("abc", file.fileno())
        text, ancillary, _, _ = systemd.recvmsg(100, socket.CMSG_SPACE(4))
        assert text == b"FDSTORE=1\nFDNAME=verto-abc" and len(ancillary) == 1
        os.close(int.from_bytes(ancillary[0][2][:4], "little"))
        keeper.forget("abc")
        assert systemd.recv(100) == b"FDSTOREREMOVE=1\nFDNAME=verto-abc"


def test_a_systemd_that_is_not_there_is_no_failure(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    assert keeping.keeper().keep("abc", 0) is False


@pytest.mark.parametrize(
    ("pid", "count", "names", "expected"),
    [
        ("self", "3", "verto-a:other:verto-b", {"a": 3, "b": 5}),
        ("1", "1", "verto-a", {}),
        ("self", "2", "verto-a", {}),
        ("self", "x", "verto-a", {}),
        ("", "", "", {}),
    ],
)
def test_what_is_handed_on(monkeypatch, pid, count, names, expected):
    monkeypatch.setattr(os, "set_inheritable", lambda *_: None)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid == "self" else pid)
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_FDNAMES", names)
    assert keeping.inherited() == expected
