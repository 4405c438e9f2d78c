"""`vsi-esl serve`."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import click
import gevent
from gevent.event import Event as Signal

from ..app import Service
from ..config import Config, ConfigError, Loaded, load
from ..net.addresses import host_port
from ..ops import logs
from ..ops.systemd import notifier, watchdog_s
from ..sandbox import SandboxSwitch, demo_caller
from .options import WrongSettings, config_option, load_settings
from .reload import Reloader
from .supervised import Supervised

THINGS_TO_TRY = """
The service runs on a sandbox: a simulated switch with one demo caller.

  VSI address   ws://{address}/v1/vsi
  Console       http://{address}/console

Four things to try, in a second terminal:

  1. see what happens         {program} tail{url}
  2. answer the demo caller   {program} call answer_leg id=$({leg}){url}
  3. read what it says        {program} call leg_stt_start id=$({leg}) provider=local{url}{lacking}
  4. have somebody else ring  {program} sandbox call --port {port} --from +15550123 --to +15550199

Stop with Ctrl-C.
"""
LACKING = """
                              (to be installed for that: {names})"""


@click.command()
@config_option
@click.option("--sandbox", is_flag=True, help="Use a simulated switch of its own; nothing is installed.")
@click.option("--no-demo", is_flag=True, help="With --sandbox: no demo caller.")
def serve(config_path: str | None, sandbox: bool, no_demo: bool) -> None:
    """Run the service. Stops on SIGTERM or SIGINT; the calls stay up. SIGHUP reads the settings again."""
    loaded = _settings(config_path)
    config = loaded.config
    logs.write_behind()
    logs.setup(config.log.level, config.log.format, numbers=config.log.numbers)
    logs.take_greenlet_errors()
    switch = None
    if sandbox:
        switch, config = _with_sandbox(config)
    service = Service(config)
    _settle_memory()
    supervised = Supervised(service, notifier(), watchdog_s())
    stop = Signal()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, _asked_to_stop, stop)
    on_terminal = sys.stdin is not None and sys.stdin.isatty()
    reloader = Reloader(service, loaded, lambda: load(config_path, dict(os.environ)))
    reload = partial(supervised.reload, reloader)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        gevent.signal_handler(signal.SIGHUP, _hung_up, stop, reload, on_terminal)
    service.start()
    supervised.start()
    if switch is not None:
        _welcome(service, switch, no_demo)
    stop.wait()
    supervised.stopping()
    service.stop()
    if switch is not None:
        switch.stop()


def _settings(path: str | None) -> Loaded:
    try:
        return load_settings(path, dict(os.environ))
    except ConfigError as error:
        raise WrongSettings(str(error)) from error


def _settle_memory() -> None:
    """Have the garbage collector leave alone what is there for good: modules, schemas, routes.

    It looked at all of it in each full collection, and nothing else ran meanwhile: 75 ms and more were
    measured, most often while many events were on their way.
    """
    gc.collect()
    gc.freeze()


def _asked_to_stop(stop: Signal) -> None:
    if stop.is_set():
        os._exit(1)  # asked twice: at once, as the calls do not depend on us
    stop.set()


def _hung_up(stop: Signal, reload: Callable[[], None], on_terminal: bool) -> None:
    """SIGHUP: read the settings again, or stop, as the terminal that it ran on is gone."""
    if on_terminal and not os.isatty(0):
        stop.set()
    elif not stop.is_set():
        reload()


def _with_sandbox(config: Config) -> tuple[SandboxSwitch, Config]:
    switch = SandboxSwitch()
    switch.start()
    host, port = switch.address
    settings = replace(config.switch, host=host, port=port, password=switch.password)
    # its calls end with it, so there is nothing to remember
    state = replace(config.state, path=":memory:")
    return switch, replace(config, switch=settings, switches=(), state=state)


def _welcome(service: Service, switch: SandboxSwitch, no_demo: bool) -> None:
    host = service.config.http.host or "127.0.0.1"
    address = host_port(host, service.http.server.server_port)
    program = os.environ.get("VSI_ESL_PROGRAM_HINT", "vsi-esl")
    url = "" if address == "127.0.0.1:8080" else f" --url ws://{address}/v1/vsi"
    leg = f"{program} call list_legs --pick 0.id{url}"
    port = switch.address[1]
    lacking = _lacking_for_speech()
    names = {"address": address, "program": program, "port": port, "url": url, "leg": leg}
    click.echo(THINGS_TO_TRY.format(lacking=lacking, **names))
    service.ctx.nodes.wait_ready(5)
    if not no_demo:
        demo_caller(switch)


def _lacking_for_speech() -> str:
    """What it takes to speak and to understand words on this machine, and is not there: a line, or none."""
    lacking = []
    if not (shutil.which("flite") or shutil.which("espeak-ng")):
        lacking.append("apt-get install flite")
    if find_spec("pocketsphinx") is None:
        lacking.append("pip install pocketsphinx")
    return LACKING.format(names="; ".join(lacking)) if lacking else ""
