"""What the connected switch is and can do: asked at each connect, and when it loads or unloads a module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from ..model.codecs import CODEC_MODULES, SPECIAL
from .lines import builder

log = structlog.get_logger(__name__)

FORK_MODULE = "mod_audio_fork"
NEEDED: dict[str, list[str]] = {}
"""Modules that features need, each with what for."""


def need(module: str, use: str) -> None:
    """A feature needs a module of the switch for `use`; its commands ask with `SwitchNode.require`."""
    NEEDED.setdefault(module, []).append(use)


@dataclass(slots=True)
class SwitchFacts:
    """What the connected switch said of itself."""

    version: str = ""
    core_uuid: str = ""
    watches_headers: bool = False
    """Whether replies to our re-INVITEs and REFERs, and REFERs of peers, are reported (sip_watch_headers)."""
    missing_codecs: frozenset[str] = frozenset()
    """Codecs whose module is not loaded; a call answered with one of them would be lost."""
    missing_modules: frozenset[str] = frozenset()
    """Modules that features need and the switch has not loaded."""
    forks: bool = False
    """What a leg says can be had from mod_audio_fork; else an internal channel listens to it."""


def learn(ask: Callable[[Sequence[str]], list[str]]) -> SwitchFacts:
    """Ask the switch. `ask` runs api commands and returns their answers."""
    modules = tuple(NEEDED)
    version, core_uuid, watched, forks, *answers = ask(
        [
            "version",
            builder.global_getvar("core_uuid"),
            builder.global_getvar("sip_watch_headers"),
            builder.module_exists(FORK_MODULE),
            *[builder.module_exists(module) for module in (*modules, *CODEC_MODULES.values())],
        ]
    )
    found, loaded = answers[: len(modules)], answers[len(modules) :]
    lacking = frozenset(module for module, answer in zip(modules, found, strict=True) if answer != "true")
    missing = frozenset(
        codec for codec, answer in zip(CODEC_MODULES, loaded, strict=True) if answer != "true"
    )
    words = version.split()
    shown = words[2] if version.startswith("FreeSWITCH Version") and len(words) > 2 else version[:60]
    return SwitchFacts(shown, core_uuid, "CSeq" in watched, missing, lacking, forks == "true")


def warn(facts: SwitchFacts) -> None:
    """Log what will be missed on such a switch."""
    if not (facts.version.startswith(("1.10", "1.11")) or facts.version == "sandbox"):
        log.warning("untested switch version", version=facts.version)
    if facts.missing_modules:
        uses = {module: " and ".join(NEEDED[module]) for module in sorted(facts.missing_modules)}
        log.warning("modules not loaded on the switch", needed_for=uses)
    if missed := sorted(facts.missing_codecs - SPECIAL):
        log.warning("codecs without their module on the switch", codecs=missed)
    if not facts.watches_headers:
        log.warning("sip_watch_headers is not set on the switch: a refused hold or transfer is not noticed")
