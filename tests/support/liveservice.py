"""A service with one media worker on a real switch. As a process, to be killed: it has the first caller hear
itself, says which leg that is and which process its worker, and stays."""

from __future__ import annotations

import sys
from pathlib import Path

import gevent

from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.settings import HttpSettings, MediaSettings, StateSettings, SwitchSettings
from vsi_esl.live.plan import Hears, Speaks
from vsi_esl.live.sessions import Sessions
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings

from .freeswitch import PASSWORD
from .live import Held
from .service import address
from .vsi import VsiClient

READY, HELD = "ready", "held"
"""How the lines begin that say that somebody can call, and which leg it is."""


def one_worker(home: Path, esl_port: int) -> Service:
    """A service with its files in `home`, ready."""
    config = Config(
        instance_id="test-1",
        switch=SwitchSettings(host="127.0.0.1", port=esl_port, password=PASSWORD),
        http=HttpSettings(addr="127.0.0.1:0", shutdown_timeout=4.0),
        state=StateSettings(path=str(home / "state.sqlite3")),
        media=MediaSettings(workers=1),
    ).having(
        RecordingSettings(dir=str(home / "recordings")),
        PlaybackSettings(spool_dir=str(home / "spool"), allow_private_urls=True),
    )
    service = Service(config)
    service.start()
    assert service.ctx.nodes.default.wait_ready(20)
    return service


def main() -> None:
    """Its arguments are `home` and `esl_port`; the standard library is patched already."""
    home, esl_port = sys.argv[1:]
    service = one_worker(Path(home), int(esl_port))
    client = VsiClient(address(service))
    print(READY, flush=True)
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    Held(service, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG).attached()
    print(HELD, leg, service.ctx.get(Sessions).pool.workers[0].pid, flush=True)
    gevent.sleep(600)
