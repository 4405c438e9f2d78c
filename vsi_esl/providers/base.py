"""What a provider is for the tasks that use it, and how it fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from .categories import (
    CANCELED,
    PERMANENT_AUTH,
    PERMANENT_INPUT,
    RATE_LIMITED,
    RETRYABLE,
    SERVICE_UNAVAILABLE,
    TRANSIENT,
    UNKNOWN,
    category_of,
)

__all__ = [
    "CANCELED",
    "PERMANENT_AUTH",
    "PERMANENT_INPUT",
    "RATE",
    "RATE_LIMITED",
    "RETRYABLE",
    "SERVICE_UNAVAILABLE",
    "TRANSIENT",
    "UNKNOWN",
    "Agent",
    "AgentEvent",
    "Connected",
    "Interrupted",
    "NotOffered",
    "Provider",
    "ProviderError",
    "Said",
    "Speech",
    "Synthesiser",
    "Transcriber",
    "Transcript",
    "category_of",
]

RATE = 16000
"""Samples a second of what providers hear: mono, 16 bit, little endian."""


class ProviderError(Exception):
    """A provider failed. The text is for people and holds neither keys nor what was said; `category` is one
    of `CATEGORIES`."""

    def __init__(self, message: str, category: str = UNKNOWN) -> None:
        super().__init__(message)
        self.message = message
        self.category = category


class NotOffered(ProviderError):
    """The provider has nothing like this."""


class Provider:
    """One session at a provider. `settings` are what the command and the service's settings give it, among
    them `api_key` and `base_url` ("" for the provider's own address)."""

    NEEDS_KEY = True
    """Whether nothing can be done without `api_key`."""
    BASE_URL = ""
    """Its public address."""

    def __init__(self, http: aiohttp.ClientSession, settings: Mapping[str, Any]) -> None:
        self.http = http
        self.settings = settings
        self.base_url = self.address(settings)

    @classmethod
    def address(cls, settings: Mapping[str, Any]) -> str:
        """Where the provider is; empty for one that is nowhere or wherever a request says."""
        return str(settings.get("base_url") or cls.BASE_URL).rstrip("/")

    async def close(self) -> None:
        """Let go of everything, whatever state it is in. Does not fail."""
        return


@dataclass(slots=True, frozen=True)
class Transcript:
    """Text of what was heard; not final is a guess that a later one replaces."""

    text: str
    final: bool


class Transcriber(Provider, ABC):
    """Speech to text: `open`, then `send` and `texts` beside each other, `finish`, `close`."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. ProviderError."""

    @abstractmethod
    async def send(self, pcm: bytes) -> None:
        """Audio, in whole frames of 20 ms. ProviderError when the connection is gone."""

    @abstractmethod
    async def finish(self) -> None:
        """No more audio comes; the texts of what was sent may still come."""

    @abstractmethod
    def texts(self) -> AsyncIterator[Transcript]:
        """What it understood, until it closes the connection. ProviderError."""


class Synthesiser(Provider, ABC):
    """Text to speech."""

    @abstractmethod
    def speak(self) -> AsyncIterator[bytes]:
        """The speech of settings["text"]: mono, 16 bit, little endian at `RATE`, in pieces of any even
        length. ProviderError."""


@dataclass(slots=True, frozen=True)
class Connected:
    """The session with the agent stands."""

    conversation_id: str


@dataclass(slots=True, frozen=True)
class Speech:
    """What the agent says: mono, 16 bit, little endian."""

    pcm: bytes
    rate: int = RATE


@dataclass(slots=True, frozen=True)
class Said:
    """A transcript of the user (`user`) or of the agent."""

    text: str
    user: bool


@dataclass(slots=True, frozen=True)
class Interrupted:
    """The user spoke: what the agent has not said yet is not to be heard."""


AgentEvent = Connected | Speech | Said | Interrupted


class Agent(Provider, ABC):
    """An agent: `open`, then `send` and `events` beside each other, `close`."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. ProviderError."""

    @abstractmethod
    async def send(self, pcm: bytes) -> None:
        """What the user says, in whole frames of 20 ms. ProviderError when the connection is gone."""

    @abstractmethod
    def events(self) -> AsyncIterator[AgentEvent]:
        """What happens, until the provider ends the session. ProviderError."""

    async def message(self, text: str) -> None:
        """Have a text put into the conversation. NotOffered, ProviderError."""
        raise NotOffered("this agent provider does not support message injection")

    async def digits(self, digits: str) -> None:
        """Digits that the user dialled; a provider without a message for them ignores it."""
        return
