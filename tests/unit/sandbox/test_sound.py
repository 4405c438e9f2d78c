"""Sound in the sandbox: loopback pairs, files in conferences, recordings, real-time text. As recorded."""

from __future__ import annotations

import json
import os
import struct
import wave
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.rawcalls import action, dial, ended, incoming, join, of, sequence
from tests.support.rawclient import RawClient, connected, running

LOOPBACK = (
    "originate_timeout=5,loopback_bowout=false,loopback_bowout_on_execute=false,ignore_early_media=true,"
    "vsi_internal=true"
)
STARTED = "+OK Success"
STEREO = "{RECORD_STEREO=true,RECORD_PRE_BUFFER_FRAMES=0,record_sample_rate=16000,vsi_recording_id=R}"


def pair(client: RawClient, name: str, far: str, near: str, more: str = "") -> str:
    """Originate a loopback pair; the B side's id."""
    variables = f"origination_uuid={name},{LOOPBACK}{more},vsi_x=y"
    client.command(f"bgapi originate {{{variables}}}loopback/app={far} '{near}' inline\nJob-UUID: job-{name}")
    job = client.event(lambda one: one.get("Job-UUID") == f"job-{name}")
    assert job["_body"] == f"+OK {name}\n"
    return client.api(f"uuid_getvar {name} other_loopback_leg_uuid")


def bot(client: RawClient, room: str, name: str = "PB") -> str:
    """A playback bot into a room."""
    other = pair(
        client, name, f"conference:{room}@vsi16000+flags{{deaf}}", f"conference:{name}@vsi16000+flags{{mute}}"
    )
    action(client, name, "add-member")
    return other


def parked(client: RawClient) -> str:
    """An answered call, with nothing of it in the events."""
    leg = incoming(client)
    client.api("version")  # what was fired before this is here now
    client.events.clear()
    return leg


def sound(folder: Path, seconds: float, name: str = "s.wav", rate: int = 8000) -> str:
    path = folder / name
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * round(seconds * rate)))
    return str(path)


def played(client: RawClient, name: str, file: str = "") -> dict:
    return client.event(lambda one: one.get("Action") == name and one.get("File", "").endswith(file))


def heard_s(done: dict) -> float:
    """How long a file was heard, by what the switch reports at its end: twice of it."""
    return int(done["milliseconds"]) / 2000


def header(path: Path) -> tuple[int, int, int, int]:
    """RIFF size, channels, rate and data length as they stand in the file."""
    riff, channels, rate, data = struct.unpack("<4xI14xHI12xI", path.read_bytes()[:44])
    return riff, channels, rate, data


# -- pairs ---------------------------------------------------------------------------------------------------


def test_a_bridge_is_a_member_of_both_rooms():
    with connected("ALL") as (_, client):
        a, b = incoming(client), incoming(client)
        join(client, a, "ra")
        join(client, b, "rb")
        client.events.clear()
        other = pair(client, "BR", "conference:rb@vsi16000", "conference:ra@vsi16000+flags{mute|deaf}")
        near, far = action(client, "BR", "add-member"), action(client, other, "add-member")
        words = [word for word in sequence(client, other) if word != "CALLSTATE"]
        assert words == [
            *("CREATE", "EXECUTE:pre_answer", "EXECUTE_COMPLETE:pre_answer", "EXECUTE:conference"),
            *("ANSWER", "add-member"),
        ]
        words = [word for word in sequence(client, "BR") if word != "CALLSTATE"]
        assert words == ["CREATE", "ORIGINATE", "ANSWER", "EXECUTE:conference", "add-member"]
        assert (near["Conference-Name"], near["Speak"], near["Hear"]) == ("ra", "false", "false")
        assert (far["Conference-Name"], far["Speak"], far["Hear"]) == ("rb", "true", "true")
        assert (near["Channel-Name"], far["Channel-Name"]) == (
            "loopback/conference-a",
            "loopback/conference-b",
        )
        assert of(client, "CHANNEL_CREATE", other)["Call-Direction"] == "inbound"
        for one, its_other in (("BR", other), (other, "BR")):
            dump = json.loads(client.api(f"uuid_dump {one} json"))
            assert dump["Unique-ID"] == one
            assert dump["variable_other_loopback_leg_uuid"] == its_other
            assert (dump["variable_vsi_internal"], dump["variable_vsi_x"]) == ("true", "y")
        assert {a, b, "BR", other} == {row["uuid"] for row in client.listed(4)}
        members = json.loads(client.api("conference ra json_list"))[0]["members"]
        assert {one["uuid"] for one in members} == {a, "BR"}


@pytest.mark.parametrize("killed", ["a side", "b side", "room"])
def test_one_side_ends_with_the_other(killed):
    with connected("ALL") as (_, client):
        legs = [incoming(client), incoming(client)]
        join(client, legs[0], "ra")
        join(client, legs[1], "rb")
        other = pair(client, "BR", "conference:rb@vsi16000", "conference:ra@vsi16000")
        action(client, "BR", "add-member")
        client.events.clear()
        if killed == "room":
            client.api("conference rb hup all")
        else:
            assert client.api(f"uuid_kill {'BR' if killed == 'a side' else other}") == "+OK"
        assert ended(client, "BR")["Hangup-Cause"] == "NORMAL_CLEARING"
        assert ended(client, other)["Hangup-Cause"] == "NORMAL_CLEARING"
        assert client.api("conference ra get count") == "1"
        assert client.api(f"uuid_exists {legs[0]}") == "true"
        assert client.api("uuid_exists BR") == client.api(f"uuid_exists {other}") == "false"


def test_the_end_of_a_pair_in_order():
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        other = bot(client, "r")
        client.events.clear()
        client.api("uuid_kill PB")
        action(client, "", "conference-destroy")
        own = [
            f"{'a' if one.get('Unique-ID') == 'PB' else 'b'} {one.get('Action') or one['Event-Name'][8:]}"
            for one in client.events
            if one.get("Unique-ID") in ("PB", other) and "CALLSTATE" not in one["Event-Name"]
        ]
        assert own == [
            *("a HANGUP", "a del-member", "a EXECUTE_COMPLETE", "b HANGUP", "a HANGUP_COMPLETE", "a DESTROY"),
            *("b del-member", "b EXECUTE_COMPLETE", "b HANGUP_COMPLETE", "b DESTROY"),
        ]
        assert client.events[-1]["Action"] == "conference-destroy"


def test_a_whisper_lasts_as_long_as_its_leg():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        other = pair(client, "PB", "conference:PB@vsi16000+flags{mute}", f"eavesdrop:{leg}")
        assert of(client, "CHANNEL_EXECUTE", "PB")["Application"] == "eavesdrop"
        bug = of(client, "MEDIA_BUG_START", leg)
        assert (bug["Media-Bug-Function"], bug["Media-Bug-Target"]) == ("eavesdrop", leg)
        assert client.api("conference PB get count") == "1"
        join(client, leg, "r")  # a move does not end it
        assert client.api("uuid_exists PB") == "true"
        client.sandbox(do="hangup", uuid=leg)
        assert ended(client, "PB")["Hangup-Cause"] == "NORMAL_CLEARING"
        ended(client, other)
        action(client, "", "conference-destroy")


def test_a_whisper_that_is_killed():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        other = pair(client, "PB", "conference:PB@vsi16000+flags{mute}", f"eavesdrop:{leg}")
        of(client, "MEDIA_BUG_START", leg)
        client.api("uuid_kill PB")
        of(client, "MEDIA_BUG_STOP", leg)
        ended(client, other)
        assert client.api(f"uuid_exists {leg}") == "true"


def test_eavesdropping_on_nobody_ends_the_pair():
    with connected("ALL") as (_, client):
        pair(client, "PB", "conference:PB@vsi16000+flags{mute}", "eavesdrop:nobody")
        assert ended(client, "PB")["Hangup-Cause"] == "NORMAL_CLEARING"


def test_an_application_that_does_not_answer_fails_the_originate():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        variables = "{origination_uuid=PB,originate_timeout=1,vsi_internal=true}"
        client.command(
            f"bgapi originate {variables}loopback/app=eavesdrop:{leg} 'conference:PB@vsi16000' inline"
        )
        assert client.event("BACKGROUND_JOB")["_body"] == "-ERR NO_ANSWER\n"
        assert ended(client, "PB")["Hangup-Cause"] == "NO_ANSWER"


def test_the_rate_of_a_pair_is_a_global_variable():
    with connected("ALL") as (_, client):
        assert client.api("global_setvar loopback_initial_codec=L16@16000h") == "+OK"
        assert client.api("global_getvar loopback_initial_codec") == "L16@16000h"
        other = pair(client, "BR", "conference:rb@vsi16000", "conference:ra@vsi16000")
        assert (
            client.api("uuid_getvar BR read_rate") == client.api(f"uuid_getvar {other} read_rate") == "16000"
        )
        client.api("global_setvar loopback_initial_codec=")
        assert client.api("global_getvar loopback_initial_codec") == "-ERR no reply"
        assert client.api("global_setvar").startswith("-USAGE")
        more = ",loopback_initial_codec=L16@16000h"
        pair(client, "B8", "conference:rb@vsi16000", "conference:ra@vsi16000", more)
        assert client.api("uuid_getvar B8 read_rate") == "8000"


def test_a_recorder_member():
    with connected("ALL") as (_, client):
        variables = "{origination_uuid=RB,rate=16000,vsi_internal=true}"
        client.command(f"bgapi originate {variables}null/rec 'conference:n@vsi16000+flags{{mute}}' inline")
        assert client.event("BACKGROUND_JOB")["_body"] == "+OK RB\n"
        member = action(client, "RB", "add-member")
        assert (member["Speak"], member["Channel-Name"]) == ("false", "null/rec")
        assert json.loads(client.api("uuid_dump RB json"))["variable_vsi_internal"] == "true"
        assert client.api("uuid_getvar RB read_rate") == "16000"


# -- files in conferences ------------------------------------------------------------------------------------


def test_a_file_from_beginning_to_end(tmp_path):
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        file = f"{{vsi_playback_id=l,vol=-6}}{sound(tmp_path, 0.3)}"
        assert client.api(f"conference r play '{file}'") == f"+OK (play) Playing file {file}"
        begun, done = played(client, "play-file"), played(client, "play-file-done")
        assert (begun["File"], begun["Async"], begun["vsi_playback_id"]) == (file, "false", "l")
        assert (done["File"], done["vol"], done["Conference-Name"]) == (file, "-6", "r")
        assert "Async" not in done
        assert (heard_s(done), done["samples"]) == (0.3, str(2 * 2400))
        assert client.api("conference r stop all") == "+OK Stopped 0 files."


@pytest.mark.parametrize(("loops", "turns"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_loops_count_as_they_do(tmp_path, loops, turns):
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        client.api(f"conference r play {{loops={loops}}}{sound(tmp_path, 0.3)}")
        assert heard_s(played(client, "play-file-done")) == pytest.approx(turns * 0.3)


@pytest.mark.parametrize("loops", ["inf", "-1"])
def test_an_endless_file_ends_when_it_is_stopped(tmp_path, loops):
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        client.api(f"conference r play {{loops={loops}}}{sound(tmp_path, 0.01)}")
        client.api(f"conference r play {{vsi_playback_id=marker}}{sound(tmp_path, 0.05, 'm.wav')} async")
        played(client, "play-file-done", "m.wav")  # the other has not ended by then
        ended_files = [one["File"] for one in client.events if one.get("Action") == "play-file-done"]
        assert not any(file.endswith("s.wav") for file in ended_files)
        assert client.api("conference r stop current") == "+OK Stopped 1 files."
        played(client, "play-file-done", "s.wav")


def test_a_second_file_waits(tmp_path):
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        first, second = sound(tmp_path, 60, "1.wav"), sound(tmp_path, 0.2, "2.wav")
        client.api(f"conference r play {{vsi_playback_id=s1}}{first}")
        client.api(f"conference r play {{vsi_playback_id=s2}}{second}")
        # the parameters are those of the file whose turn it is
        assert played(client, "play-file", "2.wav")["vsi_playback_id"] == "s1"
        client.api(f"conference r play {sound(tmp_path, 0.3, 'm.wav')} async")
        played(client, "play-file-done", "m.wav")
        assert client.api("conference r stop current") == "+OK Stopped 1 files."
        two = played(client, "play-file-done", "2.wav")
        assert (two["vsi_playback_id"], heard_s(two)) == ("s2", 0.2)
        ends = [one["File"][-5:] for one in client.events if one.get("Action") == "play-file-done"]
        assert ends == ["m.wav", "1.wav", "2.wav"]


def test_stopping_one_and_all(tmp_path):
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        files = [sound(tmp_path, 60, f"{number}.wav") for number in range(4)]
        for file in files[:3]:
            client.api(f"conference r play {file}")
        assert client.api("conference r stop current") == "+OK Stopped 1 files."
        played(client, "play-file-done", "0.wav")
        client.api(f"conference r play {files[3]} async")
        assert played(client, "play-file", "3.wav")["Async"] == "true"
        assert client.api("conference r stop async") == "+OK Stopped 1 files."
        assert played(client, "play-file-done", "3.wav")["Async"] == "true"
        assert client.api("conference r stop all") == "+OK Stopped 2 files."
        played(client, "play-file-done", "1.wav")
        played(client, "play-file-done", "2.wav")


def test_volume_needs_a_file(tmp_path):
    with connected("ALL") as (switch, client):
        join(client, incoming(client), "r")
        none = "-ERR File not playing\nfile-vol <vol#>"
        assert client.api("conference r file-vol -6") == none
        client.api(f"conference r play {sound(tmp_path, 60)} async")
        assert client.api("conference r file-vol -6") == none
        client.api(f"conference r play {{vol=-9}}{sound(tmp_path, 60)}")
        current = switch.conferences.by_name["r"].files.current
        assert current.volume == -9
        assert client.api("conference r file-vol -12") == "+OK volume changed"
        assert current.volume == -12
        assert client.api("conference r file-vol").startswith("-ERR missing args")


def test_seeking_shifts_the_end(tmp_path):
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        client.api(f"conference r play {sound(tmp_path, 60)}")
        assert client.api("conference r file_seek 59900") == f"+OK seek to position {59900 * 8}"
        assert 0.1 <= heard_s(played(client, "play-file-done")) < 30
        client.events.clear()
        client.api(f"conference r play {sound(tmp_path, 60)}")
        answer = client.api("conference r file_seek +59000")
        position = int(answer.removeprefix("+OK seek to position "))
        assert 59_000 <= position / 8 < 60_000, "from where it is by now"
        assert 0.1 <= heard_s(played(client, "play-file-done")) < 30
        assert client.api("conference r file_seek 0") == "-ERR no reply"


def test_pausing(tmp_path):
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        client.api(f"conference r play {sound(tmp_path, 60, 'paused.wav')}")
        assert client.api("conference r pause_play") == "+OK Pause"
        assert client.api("conference r file_seek 59700").startswith("+OK")
        client.api(f"conference r play {sound(tmp_path, 0.5, 'm.wav')} async")
        played(client, "play-file-done", "m.wav")
        assert client.api("conference r pause_play") == "+OK Resume"
        assert 0.3 <= heard_s(played(client, "play-file-done", "paused.wav")) < 30
        ends = [one["File"][-5:] for one in client.events if one.get("Action") == "play-file-done"]
        assert ends == ["m.wav", "d.wav"]
        assert client.api("conference r pause_play") == "-ERR no reply"


def test_files_that_cannot_be_played(tmp_path):
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        bad = tmp_path / "bad.wav"
        bad.write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
        for path in ("/nope.wav", str(bad), "nopath.wav"):
            file = f"{{vsi_playback_id=e}}{path}"
            assert client.api(f"conference r play {file}") == f"-ERR (play) File: {file} not found."
            failed = played(client, "play-file", path)
            assert failed["Error"] == "File could not be played"
            assert "vsi_playback_id" not in failed
        assert client.api("conference zzz play /x.wav") == "-ERR Conference zzz not found"
        assert client.api("conference r play with space.wav").startswith("-ERR Member: ")


def test_a_file_that_nobody_closed_plays_to_its_end(tmp_path):
    path = Path(sound(tmp_path, 0.2))
    content = bytearray(path.read_bytes())
    content[40:44] = bytes(4)
    path.write_bytes(content)
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        client.api(f"conference r play {path}")
        assert heard_s(played(client, "play-file-done")) == 0.2


def test_tones():
    with connected("ALL") as (_, client):
        join(client, incoming(client), "r")
        client.api("conference r play 'tone_stream://%(50,50,440);loops=2'")
        assert heard_s(played(client, "play-file-done")) == 0.2


def test_a_file_ends_with_its_conference(tmp_path):
    with connected("ALL") as (_, client):
        leg = incoming(client)
        join(client, leg, "r")
        bot(client, "r")
        # what a bot plays is heard in the room
        file = f"{{vsi_playback_id=PB,vol=-6,loops=inf}}{sound(tmp_path, 1)}"
        client.api(f"conference PB play '{file}'")
        assert client.event(lambda one: one.get("Action") == "start-talking")["Conference-Name"] == "r"
        client.events.clear()
        client.api("uuid_kill PB")
        action(client, "", "conference-destroy")
        actions = [one["Action"] for one in client.events if one.get("Conference-Name") == "PB"]
        assert actions == ["del-member", "play-file-done", "conference-destroy"]
        assert client.api("conference r get count") == "1"
        assert client.api("conference PB play x") == "-ERR Conference PB not found"


# -- recordings ----------------------------------------------------------------------------------------------


def test_a_recording(tmp_path):
    path = tmp_path / "new" / "folder" / "r.wav"
    with connected("ALL") as (_, client):
        leg = incoming(client, codecs=["PCMU"])
        join(client, leg, "r")
        client.events.clear()
        assert client.api(f"uuid_record {leg} start {path} 0 {STEREO}") == STARTED
        assert header(path) == (8, 2, 16000, 0)
        begun = of(client, "RECORD_START", leg)
        assert begun["Record-File-Path"] == str(path)
        assert begun["Recording-Variable-vsi_recording_id"] == "R"
        assert begun["Recording-Variable-RECORD_STEREO"] == "true"
        assert client.api(f"uuid_record {leg} start {path} 0 {STEREO}") == STARTED  # and ignored
        for mask in ("mask", "mask", "unmask", "unmask"):
            assert client.api(f"uuid_record {leg} {mask} {path}") == STARTED
        client.api(f"conference r play {sound(tmp_path, 0.2)}")
        played(client, "play-file-done")
        assert client.api(f"uuid_record {leg} stop {path}") == STARTED
        done = of(client, "RECORD_STOP", leg)
        assert done["Record-Completion-Cause"] == "success-maxtime"
        assert done["Recording-Variable-vsi_recording_id"] == "R"
        milliseconds = int(done["variable_record_ms"])
        assert 100 <= milliseconds < 10_000
        assert int(done["variable_record_samples"]) == milliseconds * 8  # at the call's rate
        assert int(done["variable_record_file_size"]) == path.stat().st_size == 44 + milliseconds * 64
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, 16000)
            assert file.getnframes() == milliseconds * 16
        assert [one["Event-Name"] for one in client.events if "RECORD" in one["Event-Name"]] == [
            *("RECORD_START", "RECORD_STOP")
        ]
        for verb in ("stop", "mask", "unmask"):
            assert client.api(f"uuid_record {leg} {verb} {path}").startswith(f"-ERR Cannot {verb} record")
        assert client.api(f"uuid_record {leg} stop all") == "-ERR Cannot stop record session!"
        assert client.api(f"uuid_record nobody stop {path}") == "-ERR Cannot locate session!"
        assert client.api(f"uuid_record {leg} fly {path}").startswith("-USAGE")


def test_a_mono_recording_at_the_rate_of_the_channel(tmp_path):
    path = tmp_path / "r.wav"
    with connected("ALL") as (_, client):
        leg = incoming(client, codecs=["G722"])
        client.api(f"uuid_record {leg} start {path}")
        client.api(f"uuid_record {leg} start {tmp_path / 'other.wav'}")
        assert client.api(f"uuid_record {leg} stop all") == STARTED
        assert header(path)[1:3] == (1, 16000)
        other = str(tmp_path / "other.wav")
        client.event(lambda one: "RECORD_STOP" in one["Event-Name"] and one["Record-File-Path"] == other)
        of(client, "RECORD_STOP", leg)


def test_a_recording_ends_with_the_call(tmp_path):
    path = tmp_path / "r.wav"
    with connected("ALL") as (_, client):
        leg = incoming(client)
        client.api(f"uuid_record {leg} start {path} 0 {STEREO}")
        client.events.clear()
        client.sandbox(do="hangup", uuid=leg)
        ended(client, leg)
        words = sequence(client, leg)
        assert words.index("HANGUP") < words.index("RECORD_STOP") < words.index("HANGUP_COMPLETE")
        assert of(client, "RECORD_STOP", leg)["Record-Completion-Cause"] == "success-silence"
        riff, _, _, data = header(path)
        assert (riff, data) == (path.stat().st_size - 8, path.stat().st_size - 44)


def test_recording_needs_media(tmp_path):
    path = tmp_path / "r.wav"
    with connected("ALL") as (_, client):
        leg = dial(client, "ring")
        of(client, "CHANNEL_PROGRESS", leg)
        assert client.api(f"uuid_record {leg} start {path} 0 {STEREO}") == "-ERR Cannot record session!"
        assert not path.exists()
        caller = incoming(client, answer=False)
        assert client.api(f"uuid_record {caller} start {path} 0 {STEREO}") == STARTED
        assert client.far(caller)["seen"] == ["183"]  # it is given media to be recorded


def test_a_path_that_cannot_be_written():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        assert (
            client.api(f"uuid_record {leg} start /proc/x/y.wav 0 {STEREO}") == "-ERR Cannot record session!"
        )


def test_a_parked_leg_loses_what_is_held_back(tmp_path):
    path = tmp_path / "r.wav"
    with connected("ALL") as (_, client):
        leg = incoming(client)
        client.api(f"uuid_record {leg} start {path} 0 {{RECORD_STEREO=true}}")
        client.api(f"uuid_record {leg} stop {path}")
        assert of(client, "RECORD_STOP", leg)["variable_record_ms"] == "0"


def test_a_full_disk(tmp_path):
    before, after = tmp_path / "1.wav", tmp_path / "2.wav"
    with connected("ALL") as (switch, client):
        leg = incoming(client)
        join(client, leg, "r")
        client.api(f"uuid_record {leg} start {before} 0 {STEREO}")
        client.api(f"conference r play {sound(tmp_path, 0.1)}")
        played(client, "play-file-done")
        switch.disk_full = True
        kept = before.stat().st_size
        assert kept > 44
        client.api(f"uuid_record {leg} start {after} 0 {STEREO}")
        client.events.clear()
        client.api(f"conference r play {sound(tmp_path, 0.1)}")
        played(client, "play-file-done")
        assert client.api(f"uuid_record {leg} stop all") == STARTED
        assert before.stat().st_size == kept
        assert header(before)[3] == kept - 44
        assert after.stat().st_size == 44


def test_a_crash_leaves_files_nobody_closed(tmp_path):
    path = tmp_path / "r.wav"
    with running() as switch, closing(RawClient(switch.address[1])) as client:
        client.command("event json ALL")
        leg = incoming(client)
        join(client, leg, "r")
        client.api(f"uuid_record {leg} start {path} 0 {STEREO}")
        client.api(f"conference r play {sound(tmp_path, 0.1)}")
        played(client, "play-file-done")
        client.events.clear()
        switch.crash()
        with pytest.raises((EOFError, OSError)):
            client.event("CHANNEL_HANGUP")
        assert not [one for one in client.events if "HANGUP" in one["Event-Name"]]
        assert header(path) == (8, 2, 16000, 0)
        assert path.stat().st_size >= 44 + 2 * 64 * 20
        assert not switch.channels


def test_a_switch_that_is_stopped_closes_its_files(tmp_path):
    path = tmp_path / "r.wav"
    with connected("ALL") as (_, client):
        leg = incoming(client)
        client.api(f"uuid_record {leg} start {path} 0 {STEREO}")
    riff, _, _, data = header(path)
    assert (riff, data) == (os.path.getsize(path) - 8, os.path.getsize(path) - 44)


# -- endless silence -----------------------------------------------------------------------------------------


def test_silence_keeps_a_call_until_it_is_transferred():
    with connected("ALL") as (_, client):
        leg = parked(client)
        client.api(f"uuid_transfer {leg} 'set:signal_bond=D,playback:silence_stream://-1,park' inline")
        of(client, "PLAYBACK_START", leg)
        client.api(f"uuid_transfer {leg} 'playback:tone.wav,park' inline")
        of(client, "CHANNEL_PARK", leg)
        assert sequence(client, leg) == [
            *("UNPARK", "EXECUTE_COMPLETE:park", "EXECUTE:set", "EXECUTE_COMPLETE:set"),
            *("EXECUTE:playback", "PLAYBACK_START", "PLAYBACK_STOP", "EXECUTE_COMPLETE:playback"),
            *("EXECUTE:playback", "EXECUTE_COMPLETE:playback", "EXECUTE:park", "PARK"),
        ]
        assert of(client, "PLAYBACK_STOP", leg)["Playback-Status"] == "break"


def test_silence_over_a_parked_call():
    with connected("ALL") as (_, client):
        leg = parked(client)
        play = "call-command: execute\nexecute-app-name: playback\nexecute-app-arg: silence_stream://-1"
        assert client.command(f"sendmsg {leg}\n{play}") == "+OK"
        of(client, "PLAYBACK_START", leg)
        client.sandbox(do="hangup", uuid=leg)
        ended(client, leg)
        assert [word for word in sequence(client, leg) if word != "CALLSTATE"] == [
            *("EXECUTE:playback", "PLAYBACK_START", "HANGUP", "PLAYBACK_STOP", "EXECUTE_COMPLETE:playback"),
            *("UNPARK", "EXECUTE_COMPLETE:park", "HANGUP_COMPLETE", "DESTROY"),
        ]


# -- real-time text ------------------------------------------------------------------------------------------


def texts(client: RawClient, leg: str) -> list[str]:
    client.api("version")
    return [one["_body"] for one in client.events if one["Event-Name"] == "TEXT" and one["Unique-ID"] == leg]


def test_text_with_a_caller():
    with connected("ALL") as (switch, client):
        leg = incoming(client, answer=False, rtt=True)
        client.api(f"uuid_setvar {leg} fire_text_events true")
        client.api(f"uuid_answer {leg}")
        assert of(client, "CHANNEL_ANSWER", leg)["variable_text_possible"] == "true"
        assert client.api(f"uuid_send_text {leg} from a ☃") == "+OK"
        assert client.far(leg)["texts"] == ["from a ☃"]
        switch.calls.text(switch.channels[leg], "live ")  # nothing before the end of the line
        client.sandbox(do="text", uuid=leg, text="text\r\n")
        of(client, "TEXT", leg)
        assert texts(client, leg) == ["live text\r\n"]


def test_text_with_a_callee():
    with connected("ALL") as (_, client):
        leg = dial(client, "answer", "rtp_enable_text=true,fire_text_events=true")
        assert of(client, "CHANNEL_ANSWER", leg)["variable_text_possible"] == "true"
        client.sandbox(do="text", uuid=leg, text="ABC\u2028")
        assert of(client, "TEXT", leg)["_body"] == "ABC\u2028"


def test_text_that_nobody_asked_for_in_time():
    with connected("ALL") as (_, client):
        leg = incoming(client, rtt=True)
        client.api(f"uuid_setvar {leg} fire_text_events true")  # media runs already
        client.sandbox(do="text", uuid=leg, text="lost\n")
        assert texts(client, leg) == []


@pytest.mark.parametrize("capable", [True, False])
def test_calls_without_text(capable):
    with connected("ALL") as (switch, client):
        leg = dial(client, "answer", "" if capable else "rtp_enable_text=true")
        switch.channels[leg].far.text_capable = capable
        assert "variable_text_possible" not in of(client, "CHANNEL_ANSWER", leg)
        assert client.api(f"uuid_send_text {leg} x") == "+OK"
        assert client.far(leg)["texts"] == []
        assert client.sandbox(do="text", uuid=leg, text="x\n").startswith("-ERR")
        assert client.api("uuid_send_text nobody x") == "-ERR No such channel nobody!"
        assert client.api(f"uuid_send_text {leg}").startswith("-USAGE")


def test_events_of_sound_come_to_those_who_asked(tmp_path):
    with connected("RECORD_START", "RECORD_STOP", "TEXT") as (_, client):
        leg = incoming(client, answer=False, rtt=True)
        client.api(f"uuid_setvar {leg} fire_text_events true")
        client.api(f"uuid_answer {leg}")
        client.api(f"uuid_record {leg} start {tmp_path / 'r.wav'} 0 {STEREO}")
        client.sandbox(do="text", uuid=leg, text="x\n")
        client.api(f"uuid_record {leg} stop all")
        client.event("RECORD_STOP")
        assert [one["Event-Name"] for one in client.events] == ["RECORD_START", "TEXT", "RECORD_STOP"]
