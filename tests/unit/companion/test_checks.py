"""`vsi-esl companion --check`, settings that make none, and `vsi-esl doctor` of the service."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from tests.support.certs import Authority
from tests.support.lines import COMPANION, SERVICE, Ends
from vsi_esl.cli.companion import companion
from vsi_esl.companion.process import Companion
from vsi_esl.config import Config, ConfigError
from vsi_esl.config.settings import CompanionLink, ListedSwitch
from vsi_esl.sound.host.doctor import companions
from vsi_esl.sound.host.settings import CompanionSettings
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.wire.server import Failed


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def checked(tmp_path, authority):
    """Exit code and text of `--check` with these settings besides good ones."""

    def check(**environ: str) -> tuple[int, str]:
        certificate, key = authority.sign(COMPANION, days=100)
        known = {
            "VSI_ESL_COMPANION_LISTEN": "127.0.0.1:8022",
            "VSI_ESL_COMPANION_CA": authority.ca,
            "VSI_ESL_COMPANION_CERTIFICATE": certificate,
            "VSI_ESL_COMPANION_KEY": key,
            "VSI_ESL_COMPANION_SERVICES": SERVICE,
            "VSI_ESL_COMPANION_UPLOADS_DIR": str(tmp_path / "uploads"),
            "RECORDING_DIR": str(tmp_path / "recordings"),
            "VSI_ESL_SPOOL_DIR": str(tmp_path / "spool"),
            "COLUMNS": "300",
        }
        result = CliRunner().invoke(companion, ["--check"], env={**known, **environ})
        return result.exit_code, result.output

    return check


def test_all_is_well(checked, tmp_path):
    code, text = checked()
    assert code == 0
    assert "certificate is good for 100 more days" in text and "belong together" in text
    assert not any((tmp_path / name).exists() for name in ("uploads", "recordings", "spool"))


def test_what_is_wrong_is_named(checked, authority, tmp_path):
    expired, key = authority.sign("old.test", days=-1)
    code, text = checked(VSI_ESL_COMPANION_CERTIFICATE=expired, VSI_ESL_COMPANION_KEY=key)
    assert code == 1 and "certificate has expired" in text
    code, text = checked(VSI_ESL_COMPANION_CERTIFICATE=authority.sign("soon.test", days=5)[0])
    assert code == 1 and "good for 5 more days" in text and "KEY_VALUES_MISMATCH" in text
    code, text = checked(VSI_ESL_COMPANION_CA="", VSI_ESL_COMPANION_SERVICES="")
    assert code == 1 and "without companion.ca, companion.services" in text
    code, text = checked(VSI_ESL_COMPANION_CA=str(tmp_path / "none.pem"))
    assert code == 1 and "No such file" in text


def config(tmp_path, **companion_settings) -> Config:
    return Config().having(
        RecordingSettings(dir=str(tmp_path / "recordings")),
        PlaybackSettings(spool_dir=str(tmp_path / "spool")),
        CompanionSettings(uploads_dir=str(tmp_path / "uploads"), **companion_settings),
    )


def test_without_its_settings_there_is_none(tmp_path, authority):
    with pytest.raises(ConfigError, match=r"companion\.listen: a companion needs it"):
        Companion(config(tmp_path))
    with pytest.raises(ConfigError, match=r"none\.pem: No such file"):
        none = str(tmp_path / "none.pem")
        known = {"ca": none, "certificate": none, "key": none, "services": ("a",)}
        Companion(config(tmp_path, listen="127.0.0.1:0", **known))


def test_the_guard_of_its_settings_is_before_what_it_fetches(tmp_path, authority):
    certificate, key = authority.sign(COMPANION)
    known = {"ca": authority.ca, "certificate": certificate, "key": key, "services": (SERVICE,)}
    one = Companion(config(tmp_path, listen="127.0.0.1:0", **known))
    try:
        clip = one.server._operations["clip"]
        with pytest.raises(Failed, match="has a private address") as failed:
            clip(None, {"url": "http://127.0.0.1:9/a.wav", "mime_type": "", "repeat": 0})
        assert failed.value.kind == "media"
    finally:
        one.stop()


def test_doctor_connects_to_it(tmp_path, authority):
    ends = Ends(authority, {})
    try:
        certificate, key = authority.sign(SERVICE)
        link = CompanionLink(f"127.0.0.1:{ends.port}", authority.ca, certificate, key, COMPANION)
        found = list(companions(Config(switches=(ListedSwitch("east", companion=link),))))
        assert [one.status for one in found] == ["warning", "warning", "ok"], "two days are few"
        assert "answers after" in found[-1].detail
        ends.server.stop()
        *_, last = companions(Config(switches=(ListedSwitch("east", companion=link),)))
        assert (last.status, last.detail) == ("failed", f"127.0.0.1:{ends.port}: connection refused")
    finally:
        ends.stop()
    assert list(companions(Config())) == []
    os.remove(key)
    *_, last = companions(Config(switches=(ListedSwitch("east", companion=link),)))
    assert last.status == "failed" and "No such file" in last.detail
