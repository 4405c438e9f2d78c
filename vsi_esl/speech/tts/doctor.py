"""What `vsi-esl doctor` looks at of text to speech: whether what was synthesised can be kept."""

from __future__ import annotations

from collections.abc import Iterator

from ...config import Config
from ...ops.findings import WARN, Check, machine_check, writable
from .settings import TtsSettings


@machine_check("speech cache")
def cache(config: Config) -> Iterator[Check]:
    """The directory can be written, when there is to be one."""
    settings = config.section(TtsSettings)
    if settings.cache_enabled:
        yield writable("speech cache", settings.cache_dir, WARN)
