"""Settings taken over by a running service. No connection is lost by it, but those that lost their token."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from ..app import Service
from ..config import ConfigError
from ..config.live import cannot_be, changed, takes_effect, with_live
from ..config.loading import Loaded
from ..ops import logs

log = structlog.get_logger(__name__)


class Reloader:
    """Reads the settings again with `load` and has the service take over what can be while it runs.

    What needs a restart is named in the log each time, until there was one. Settings with an error in them
    change nothing.
    """

    def __init__(self, service: Service, began_with: Loaded, load: Callable[[], Loaded]) -> None:
        self._service = service
        self._running = began_with
        self._load = load

    def __call__(self) -> bool:
        """Do it; False when nothing was changed because of an error, which is in the log."""
        try:
            after = self._load()
        except ConfigError as error:
            log.error("settings not reloaded, nothing was changed", problems=error.problems)
            return False
        if problem := cannot_be(after.config, self._service.http.host):
            log.error("settings not reloaded, nothing was changed", problems=[f"access.tokens: {problem}"])
            return False
        keys = changed(self._running, after)
        taken = [key for key in keys if takes_effect(key)]
        for warning in after.warnings:
            log.warning("settings", warning=warning)
        if {"log.level", "log.numbers"} & set(taken):
            to = after.config.log
            logs.setup(to.level, self._running.config.log.format, numbers=to.numbers)
        self._service.reload(with_live(self._service.config, after.config, taken))
        sources = self._running.sources | {key: after.sources[key] for key in taken if key in after.sources}
        config = with_live(self._running.config, after.config, taken)
        self._running = Loaded(config, sources, after.warnings)
        # names only: a value may be a secret
        restart = [key for key in keys if key not in taken]
        log.info("settings reloaded", changed=taken, need_a_restart=restart)
        return True
