"""`vsi-esl companion`."""

from __future__ import annotations

import os
import signal
import sys

import click
import gevent
from gevent.event import Event as Signal

from ..companion.checks import checks
from ..companion.process import Companion
from ..config import ConfigError
from ..ops import logs
from ..ops.systemd import notifier, watchdog_s
from .checks import echo_checks
from .options import WrongSettings, config_option, load_settings


@click.command()
@config_option
@click.option(
    "--check", is_flag=True, help="Look at settings, certificates and directories, and run nothing."
)
def companion(config_path: str | None, check: bool) -> None:
    """Run the companion of a switch on another machine than the service. Stops on SIGTERM or SIGINT; calls
    stay up, and what it was doing is taken up by the next one."""
    try:
        config = load_settings(config_path, dict(os.environ)).config
    except ConfigError as error:
        raise WrongSettings(str(error)) from error
    if check:
        echo_checks(list(checks(config)), "check", as_json=False)
        return
    logs.write_behind()
    logs.setup(config.log.level, config.log.format, numbers=config.log.numbers)
    logs.take_greenlet_errors()
    try:
        running = Companion(config)
    except ConfigError as error:
        raise WrongSettings(str(error)) from error
    stop = Signal()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    running.start()
    systemd, watchdog = notifier(), watchdog_s()
    systemd.tell("READY=1", "STATUS=listening")
    while not stop.wait(watchdog / 4 or None):
        systemd.tell("WATCHDOG=1", f"STATUS={len(running.server.peers)} services connected")
    systemd.tell("STOPPING=1")
    running.stop()
    sys.stdout.flush()
