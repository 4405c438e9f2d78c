"""Every series that a service has, from its registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.settings import HttpSettings, MediaSettings, StateSettings, SwitchSettings
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings

OF_THE_LIBRARY = ("process_", "python_")


@dataclass(frozen=True, slots=True)
class Series:
    """One family, under the name of its samples; of a histogram that is without its suffix."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str

    @property
    def samples(self) -> list[str]:
        """The names that can be asked for."""
        if self.kind == "histogram":
            return [f"{self.name}_{end}" for end in ("bucket", "sum", "count")]
        return [self.name]


@contextmanager
def a_service() -> Iterator[Service]:
    """One that has nothing to do, and no switch."""
    with tempfile.TemporaryDirectory() as home:
        config = Config(
            http=HttpSettings(addr="127.0.0.1:0"),
            switch=SwitchSettings(port=1),
            state=StateSettings(path=str(Path(home) / "state.sqlite3")),
            media=MediaSettings(spare_worker=False),
        ).having(
            RecordingSettings(dir=str(Path(home) / "recordings")),
            PlaybackSettings(spool_dir=str(Path(home) / "spool")),
        )
        service = Service(config)
        service.http.start()
        try:
            yield service
        finally:
            service.stop()


def series(service: Service) -> list[Series]:
    """All of them, by name, those of the client library last."""
    registry = service.ctx.metrics.registry
    declared = {
        name: tuple(getattr(collector, "_labelnames", ()))
        for collector, names in registry._collector_to_names.items()
        for name in names
    }
    found = {}
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = set(declared.get(family.name, ())) | set(getattr(family, "_labelnames", ()))
        labels |= {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = Series(name, family.type, tuple(sorted(labels)), family.documentation)
    return sorted(found.values(), key=lambda one: (one.name.startswith(OF_THE_LIBRARY), one.name))


def page() -> str:
    """docs/metrics.md, without its head."""
    with a_service() as service:
        rows = [
            f"| `{one.name}` | {one.kind} | {', '.join(f'`{name}`' for name in one.labels)} | {one.text} |"
            for one in series(service)
        ]
    return "\n".join(["| series | type | labels | meaning |", "|---|---|---|---|", *rows]) + "\n"
