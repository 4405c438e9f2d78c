"""The features, in the order in which they register and are told of moments. The only list of them."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calls.context import Context

FEATURES = (
    # before what carries its audio: legs end before their sessions do
    "vsi_esl.streams.feature",
    "vsi_esl.live.feature",
    "vsi_esl.agents.feature",
    "vsi_esl.sound.bridges.feature",
    "vsi_esl.sound.playback.feature",
    "vsi_esl.sound.recording.feature",
    "vsi_esl.sound.host.feature",
    "vsi_esl.amd.feature",
    "vsi_esl.transfers.feature",
    "vsi_esl.webrtc.feature",
    "vsi_esl.whatsapp.feature",
    "vsi_esl.speech.tts.feature",
    "vsi_esl.speech.stt.feature",
    "vsi_esl.cdr.feature",
    "vsi_esl.console.feature",
)
"""Modules. Importing one declares its commands, events and translators; its `register(ctx)` makes it a part
of one service: what it gives the context, and the moments it is told of. A module `settings` beside it
declares its sections of the settings."""

CORE = ("vsi_esl.commands", "vsi_esl.events", "vsi_esl.translate")
"""Packages of which every module is declared."""


@cache
def declare() -> None:
    """Import everything that declares itself: commands, events, translators."""
    for name in CORE:
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{name}.{module.name}")
    for name in FEATURES:
        importlib.import_module(name)


@cache
def declare_settings() -> None:
    """Import what declares settings, and no more."""
    for name in FEATURES:
        settings = f"{name.rpartition('.')[0]}.settings"
        if find_spec(settings) is not None:
            importlib.import_module(settings)


def register(ctx: Context) -> None:
    """Make all features part of a service."""
    for name in FEATURES:
        importlib.import_module(name).register(ctx)
