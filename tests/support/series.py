"""Every series that a service has, from its registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.cluster import RedisSettings, ServiceSettings
from vsi_esl.config.settings import HttpSettings, ListedSwitch, MediaSettings, StateSettings, SwitchSettings
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


ONLY = {
    "": {},
    "with `redis:`": {"redis": RedisSettings(host="127.0.0.1", port=1), "service": ServiceSettings(name="a")},
    "with `tether` at a switch": {
        "switches": tuple(
            ListedSwitch(name, SwitchSettings(port=1), tether="127.0.0.1:1") for name in ("east", "west")
        )
    },
}
"""Services that have series of their own: what in their settings brings them about, and such settings."""


@contextmanager
def a_service(**more: Any) -> Iterator[Service]:
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
        service = Service(replace(config, **more))
        service.http.start()
        try:
            yield service
        finally:
            service.stop()


def everything() -> dict[str, tuple[Series, str]]:
    """By name every series that there is, and what it is there for only."""
    found: dict[str, tuple[Series, str]] = {}
    for only, settings in ONLY.items():
        with a_service(**settings) as service:
            for one in series(service):
                found.setdefault(one.name, (one, only))
    return dict(sorted(found.items(), key=lambda pair: (pair[0].startswith(OF_THE_LIBRARY), pair[0])))


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
    rows = []
    for one, only in everything().values():
        labels = ", ".join(f"`{name}`" for name in one.labels)
        text = f"{one.text} Only {only}." if only else one.text
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {text} |")
    return "\n".join(["| series | type | labels | meaning |", "|---|---|---|---|", *rows]) + "\n"
