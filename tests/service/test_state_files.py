"""The service's own files: looked at, copied with calls up, put back elsewhere, thrown away, and broken."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.calls import answered, in_room
from tests.support.drivers import eventually
from tests.support.service import crash
from vsi_esl.cli.state import state
from vsi_esl.cli.statefiles import StateFile, files
from vsi_esl.config import Config
from vsi_esl.config.settings import StateSettings
from vsi_esl.storage.database import StateError

SECRET = "whsec-of-a-leg-Kk41"


def run(home: Path, *arguments: str):
    """`vsi-esl state` on the files in a directory."""
    environ = {"VSI_ESL_STATE_PATH": str(home / "state.sqlite3"), "HOME": str(home)}
    return CliRunner().invoke(state, arguments, env=environ, catch_exceptions=False)


def told(home: Path) -> dict[str, tuple[str, str]]:
    """What `check` says, by file: the first and worst of each."""
    found: dict[str, tuple[str, str]] = {}
    for one in json.loads(run(home, "check", "--json").stdout):
        known = found.setdefault(one["name"], (one["status"], one["detail"]))
        if RANK[one["status"]] > RANK[known[0]]:
            found[one["name"]] = one["status"], one["detail"]
    return found


RANK = {"ok": 0, "warning": 1, "failed": 2}


@pytest.fixture
def busy(switch, start, connect, tmp_path):
    """A service with a call in a room, webhooks that wait, and changes on their way to the database."""
    service = start(webhooks={"allow_private_urls": True})
    client = connect(service)
    hook = {"webhook_url": "http://me:pw@127.0.0.1:1/secret-path", "webhook_secret": SECRET}
    client.ok("create_room", id="hooked", **hook)
    peer, leg = in_room(switch, client, "hooked")
    service.leg, service.peer = leg, peer
    eventually(lambda: service.ctx.webhooks.pending > 0, "webhooks wait")
    return service


def test_all_is_sound_while_a_service_runs_and_after(busy, tmp_path):
    found = told(tmp_path)
    assert found["service"] == ("ok", "runs on these files")
    assert {status for status, _ in found.values()} == {"ok"}
    busy.stop()
    found = told(tmp_path)
    assert found["service"] == ("ok", "does not run on these files")
    assert found["rows"][1].startswith("1 rooms, 1 legs")
    assert run(tmp_path, "check").exit_code == 0


def test_a_copy_of_a_running_service_is_whole_and_can_be_put_back(
    busy, switch, start, connect, tmp_path, log
):
    archive = tmp_path / "copy.tar"
    done = run(tmp_path, "export", str(archive))
    assert done.exit_code == 0, done.output
    assert "with the secrets" in done.output
    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as tar:
        assert tar.getnames() == ["manifest.json", "state.sqlite3", "webhooks.sqlite3"]
        manifest = json.load(tar.extractfile("manifest.json"))
        assert manifest["secrets"] is True
    assert [name for name in os.listdir(tmp_path) if name.startswith(".vsi-esl-export")] == []
    pending = busy.ctx.webhooks.pending
    assert "in use" in refusal(tmp_path, "import", str(archive), "--force")
    crash(busy)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run(elsewhere, "import", str(archive)).exit_code == 0
    assert (elsewhere / "state.sqlite3").stat().st_mode & 0o777 == 0o600
    service = start(state={"path": str(elsewhere / "state.sqlite3")}, webhooks={"allow_private_urls": True})
    assert service.ctx.legs.get(busy.leg).room_id == "hooked"
    assert service.ctx.rooms.get("hooked").webhook.secret == SECRET
    assert service.ctx.webhooks.pending >= pending
    assert connect(service).ok("list_rooms")[0]["id"] == "hooked"


@pytest.mark.parametrize("written", [False, True])
def test_what_changes_during_a_copy_leaves_it_whole(busy, start, tmp_path, monkeypatch, written):
    """Whether the database has a change or a file beside it, and which of both was copied before."""
    read, state_store = StateFile.read, busy.ctx.state
    room = busy.ctx.rooms.get("hooked")

    def meanwhile(one):
        for number in range(3):
            state_store.save_room(replace(room, id=f"late-{number}", conference=f"late-{number}"))
            if written:
                state_store.flush()
        return read(one)

    state_store.save_room(replace(room, id="early", conference="early"))
    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "read", meanwhile)
        assert run(tmp_path, "export", str(tmp_path / "copy.tar")).exit_code == 0
    busy.stop()
    assert run(tmp_path, "import", str(tmp_path / "copy.tar"), "--force").exit_code == 0
    with StateFile("", "", str(tmp_path / "state.sqlite3"), 0).read() as db:
        rooms = {id for (id,) in db.execute("SELECT id FROM rooms")}
    assert {"hooked", "early"} <= rooms <= {"hooked", "early", "late-0", "late-1", "late-2"}
    assert ("late-2" in rooms) is written, "as of the moment at which the database was copied"


def refusal(home: Path, *arguments: str) -> str:
    """Why a command is refused, as the command line tells it."""
    environ = {"VSI_ESL_STATE_PATH": str(home / "state.sqlite3"), "HOME": str(home)}
    done = CliRunner().invoke(state, arguments, env=environ)
    assert done.exit_code == 1, done.output
    return f"{done.exception} {done.output}"


def test_without_secrets_there_is_none_in_any_byte(busy, tmp_path):
    archive = tmp_path / "copy.tar"
    assert SECRET.encode() in everything(tmp_path)
    run(tmp_path, "export", str(archive), "--without-secrets", "--with-replay")
    data = archive.read_bytes()
    for secret in (SECRET, "me:pw", "secret-path"):
        assert secret.encode() not in data
    assert b"http://127.0.0.1:1/" in data
    busy.stop()
    assert "without secrets" in refusal(tmp_path, "import", str(archive), "--force")


def everything(home: Path) -> bytes:
    return b"".join(one.read_bytes() for one in home.glob("*.sqlite3*"))


def test_what_is_there_is_not_replaced_unless_that_is_asked_for(busy, tmp_path):
    archive = tmp_path / "copy.tar"
    run(tmp_path, "export", str(archive))
    assert "already" in refusal(tmp_path, "export", str(archive))
    assert run(tmp_path, "export", str(archive), "--force").exit_code == 0
    crash(busy)
    before = sorted(os.listdir(tmp_path))
    assert "already" in refusal(tmp_path, "import", str(archive))
    assert sorted(os.listdir(tmp_path)) == before
    done = run(tmp_path, "import", str(archive), "--force")
    assert done.exit_code == 0, done.output
    moved = re.findall(r"moved aside: (\S+)", done.output)
    aside = next(name for name in moved if re.search(r"state\.sqlite3\.before-import-[\d-]+\Z", name))
    with sqlite3.connect(aside) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    assert any(name.startswith(f"{aside}.recent.") for name in moved)
    assert {status for status, _ in told(tmp_path).values()} == {"ok"}


def spoiled(archive: Path, change) -> None:
    """Write an archive anew, with `change` made to its members (name to content)."""
    with tarfile.open(archive) as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar}
    change(members)
    with tarfile.open(archive, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def other_content(members):
    members["state.sqlite3"] = members["state.sqlite3"][:-1] + b"x"


def elsewhere_named(members):
    members["manifest.json"] = members["manifest.json"].replace(b'"state.sqlite3"', b'"../evil"')
    members["../evil"] = members.pop("state.sqlite3")


def of_a_newer_version(members):
    manifest = json.loads(members["manifest.json"])
    manifest["files"][0]["schema"] = 999
    members["manifest.json"] = json.dumps(manifest).encode()


def without_manifest(members):
    del members["manifest.json"]


def not_there(members):
    del members["state.sqlite3"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (other_content, "checksum"),
        (elsewhere_named, "no place for ../evil"),
        (of_a_newer_version, "newer vsi_esl"),
        (without_manifest, "manifest"),
        (not_there, "not in the archive"),
    ],
)
def test_an_archive_that_is_not_as_it_was_made_changes_nothing(busy, tmp_path, change, why):
    archive = tmp_path / "copy.tar"
    run(tmp_path, "export", str(archive))
    busy.stop()
    spoiled(archive, change)
    before = sorted(os.listdir(tmp_path))
    assert why in refusal(tmp_path, "import", str(archive), "--force")
    assert sorted(os.listdir(tmp_path)) == before


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "text").write_text("no tar at all\n" * 100)
    assert "no archive" in refusal(tmp_path, "import", str(tmp_path / "text"))


def test_there_may_be_nothing_yet(tmp_path):
    assert {status for status, _ in told(tmp_path).values()} == {"ok"}
    assert "nothing to export" in refusal(tmp_path, "export", str(tmp_path / "copy.tar"))


def test_modes_that_others_can_read_by_are_told(busy, tmp_path):
    os.chmod(tmp_path / "state.sqlite3", 0o644)
    status, detail = told(tmp_path)["state"]
    assert (status, "0644" in detail) == ("failed", True)
    assert run(tmp_path, "check").exit_code == 1


def test_what_belongs_to_nothing_is_told(busy, tmp_path):
    busy.stop()
    with sqlite3.connect(tmp_path / "state.sqlite3") as db:
        db.execute("DELETE FROM rooms")
    db.close()
    assert told(tmp_path)["rows"] == ("warning", "1 legs in a room that is not there")


# -- what is cache can be thrown away, what is state cannot ---------------------------------------------


def test_the_replay_can_be_thrown_away(busy, switch, start, connect, tmp_path):
    crash(busy)
    for path in tmp_path.glob("events.sqlite3*"):
        path.unlink()
    service = start(webhooks={"allow_private_urls": True})
    client = connect(service)
    assert client.ok("get_leg", id=busy.leg)["room_id"] == "hooked"
    _, leg = answered(switch, client)
    first = client.seen("leg.connected", leg_id=leg)[0]
    busy.peer.hang_up()
    client.event("leg.disconnected", leg_id=busy.leg)
    again = connect(service, f"?since={first['event_id']}")
    again.event("leg.disconnected", leg_id=busy.leg)


def breaks(path: Path) -> None:
    path.write_bytes(b"certainly no database\n" * 500)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def test_a_broken_replay_is_moved_aside_and_said(busy, log, start, connect, tmp_path):
    busy.stop()
    breaks(tmp_path / "events.sqlite3")
    assert told(tmp_path)["replay"][0] == "warning"
    assert run(tmp_path, "check").exit_code == 0
    service = start(webhooks={"allow_private_urls": True})
    (line,) = log.named("event history cannot be read; begun anew")
    assert Path(line["put_aside_as"]).exists()
    assert connect(service).ok("get_leg", id=busy.leg)["room_id"] == "hooked"


@pytest.mark.parametrize(
    ("name", "what"), [("state.sqlite3", "state"), ("webhooks.sqlite3", "webhook outbox")]
)
def test_with_a_broken_state_the_service_does_not_start_and_says_why(busy, start, tmp_path, name, what):
    busy.stop()
    breaks(tmp_path / name)
    status, detail = told(tmp_path)[what]
    assert (status, "not a database" in detail) == ("failed", True)
    assert run(tmp_path, "check").exit_code == 1
    with pytest.raises(StateError, match=f"{name}: file is not a database"):
        start(wait=False)
    assert (tmp_path / name).read_bytes().startswith(b"certainly"), "and it is left as it was"


def test_state_in_memory_has_no_files():
    assert files(Config(state=StateSettings(path=":memory:"))) == []
