"""What `vsi-esl doctor --providers` looks at: whether the providers in the settings are reached from here.

A connection is made, and TLS; nothing is asked, so that nothing is charged.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import gevent
import gevent.socket
import gevent.ssl

from ..config import Config
from ..config.providers import ProviderSettings
from ..ops.findings import OK, WARN, Check, elsewhere_check
from ..providers import AGENTS, STT, TTS, find, names

KINDS = {STT: "stt", TTS: "tts", AGENTS: "agent"}
"""Folder of the providers of a kind -> its name in the settings."""
PATIENCE_S = 5.0
PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


@elsewhere_check("providers")
def reach(config: Config) -> Iterator[Check]:
    """Those that have a key or an address in the settings."""
    wanted = list(_configured(config.providers))
    if not wanted:
        yield Check(
            "providers", WARN, "none has a key or an address", "set providers.*_key or providers.*_url"
        )
    asked = [gevent.spawn(_tried, name, url) for name, url in wanted]
    gevent.joinall(asked, timeout=2 * PATIENCE_S)
    for (name, url), one in zip(wanted, asked, strict=True):
        one.kill(block=False)
        yield one.value if isinstance(one.value, Check) else _not_reached(name, url, "no answer in time")


def _configured(settings: ProviderSettings) -> Iterator[tuple[str, str]]:
    for folder, kind in KINDS.items():
        for name in names(folder):
            base_url = settings.base_url(kind, name)
            if not (base_url or getattr(settings, f"{name}_key", "")):
                continue
            told = {"base_url": base_url, "region": getattr(settings, f"{name}_region", "")}
            if url := find(folder, name).address(told):
                yield f"{name} ({kind})", url


def _tried(name: str, url: str) -> Check:
    parts = urlsplit(url)
    host = parts.hostname or ""
    begun = time.monotonic()
    try:
        address = (host, parts.port or PORTS[parts.scheme])
        with gevent.socket.create_connection(address, PATIENCE_S) as plain:
            if PORTS[parts.scheme] == PORTS["https"]:
                context = gevent.ssl.create_default_context()
                with context.wrap_socket(
                    plain, server_hostname=host, do_handshake_on_connect=False
                ) as secured:
                    secured.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return _not_reached(name, url, f"its certificate is not accepted: {error.verify_message}")
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no resolver takes
        return _not_reached(name, url, getattr(error, "strerror", None) or str(error))
    return Check(name, OK, f"{host} answers after {(time.monotonic() - begun) * 1000:.0f} ms")


def _not_reached(name: str, url: str, why: str) -> Check:
    hint = "does a firewall, or a proxy, stand between? providers.*_url can name another address"
    return Check(name, WARN, f"{urlsplit(url).hostname}: {why}", hint)
