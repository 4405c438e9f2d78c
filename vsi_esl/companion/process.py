"""The companion: its parts, made and wired. Nothing else constructs them."""

from __future__ import annotations

from dataclasses import asdict

import structlog

from .. import __version__
from ..config import Config, ConfigError
from ..live.beside import WORKERS
from ..live.sessions import workers_of
from ..sound.host.feature import local_host
from ..sound.host.settings import CompanionSettings
from ..sound.playback.settings import PlaybackSettings
from ..speech.tts.settings import TtsSettings
from ..storage import folders
from ..wire.frames import Message
from ..wire.server import Peer, Server
from ..wire.tls import BadCertificate, Identity
from .held import Held
from .operations import Operations
from .places import Places
from .uploads import Desk
from .workers import Workers

log = structlog.get_logger(__name__)


class Companion:
    """One running companion: `start`, then `stop`. What it had under way is taken up by the next."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError for settings with which there is none."""
        settings = config.section(CompanionSettings)
        if lacking := settings.lacking():
            raise ConfigError([f"{key}: a companion needs it" for key in lacking])
        self._host = local_host(config)
        places = Places(self._host.recordings, config.section(PlaybackSettings).spool_dir)
        self._places = places
        self._held = Held(self._host, places)
        self.desk = Desk(settings.uploads_dir, self._host.uploads)
        self._operations = Operations(self._host, places, self._held, self.desk)
        self._workers = Workers(workers_of(config.media), config.section(TtsSettings))
        host, _, port = settings.listen.rpartition(":")
        try:
            self.server = Server(
                (host.strip("[]"), int(port)),
                Identity(settings.ca, settings.certificate, settings.key),
                settings.services,
                self._operations.all(),
                welcome=self._welcome,
                status=lambda _: {"counts": asdict(self._host.counts)},
                told=self._told,
                left=self._left,
            )
        except BadCertificate as error:
            raise ConfigError([f"companion: {error}"]) from error

    def start(self) -> None:
        """Go on with what the one before has left, and listen. Raises OSError."""
        for directory in (self._places.recordings, self._places.spool):
            folders.make(directory)
            folders.warn(directory)
        self.desk.take_up()
        self.server.start()
        log.info("listening", port=self.server.port, release=__version__)

    def stop(self) -> None:
        """End it; what is not done is done by the next one."""
        self.server.stop()
        self._workers.stop()
        self._host.stop()
        log.info("stopped", uploads_left=len(self.desk))

    def _welcome(self) -> Message:
        return {
            "release": __version__,
            "recordings": self._places.recordings,
            WORKERS: self._workers.most,
        }

    def _told(self, peer: Peer, message: Message) -> None:
        if not self._operations.told(peer, message):
            self._workers.told(peer, message)

    def _left(self, peer: Peer) -> None:
        # one that is there again may have come before the end of its last connection was seen
        if all(one.holder != peer.holder for one in self.server.peers):
            self._held.left(peer.holder)
        self._workers.left(peer)
