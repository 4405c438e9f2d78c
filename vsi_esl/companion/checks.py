"""What `vsi-esl companion --check` looks at: its certificates and its directories."""

from __future__ import annotations

from collections.abc import Iterator

from ..config import Config
from ..ops.findings import FAIL, OK, WARN, Check, writable
from ..sound.host.doctor import HINT, certificates
from ..sound.host.settings import CompanionSettings
from ..sound.playback.settings import PlaybackSettings
from ..sound.recording.settings import RecordingSettings
from ..storage import folders
from ..wire.tls import BadCertificate, Identity


def checks(config: Config) -> Iterator[Check]:
    """All of them; nothing is made and nothing is connected to."""
    settings = config.section(CompanionSettings)
    lacking = settings.lacking()
    if lacking:
        yield Check("settings", FAIL, f"without {', '.join(lacking)}", HINT)
    else:
        yield Check("settings", OK, f"listens at {settings.listen}, for {', '.join(settings.services)}")
        yield from certificates("certificates", {"CA": settings.ca, "certificate": settings.certificate})
        try:
            Identity(settings.ca, settings.certificate, settings.key).server()
        except BadCertificate as error:
            yield Check("certificate and key", FAIL, str(error), HINT)
        else:
            yield Check("certificate and key", OK, "belong together")
    for name, path in (
        ("recording directory", config.section(RecordingSettings).dir),
        ("audio spool", config.section(PlaybackSettings).spool_dir),
    ):
        yield writable(name, path, FAIL)
        for risk in folders.risks(path):
            yield Check(name, WARN, f"{path}: {risk}", "see docs/deploy.md")
    yield writable("directory of uploads", settings.uploads_dir, FAIL)
