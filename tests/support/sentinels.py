"""A Redis with a replica, and three Sentinels that make it the primary when the first one dies: all of them a
test's own, on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gevent

from .redisserver import RedisServer
from .relay import Relay
from .waiting import eventually

GROUP = "group"
DOWN_MS = 1000
"""How long the primary has to be silent."""
LONGEST_S = 60.0
CONF = f"""
sentinel monitor {GROUP} 127.0.0.1 {{port}} 2
sentinel down-after-milliseconds {GROUP} {DOWN_MS}
sentinel failover-timeout {GROUP} 5000
"""


class Watched:
    """Running from the start. `tls` is a directory with certificates: all of them speak nothing else then."""

    def __init__(self, directory: Path, tls: Path | None = None) -> None:
        self._tls = tls
        more = ("--tls-replication", "yes") if tls else ()
        self.primary = RedisServer(directory / "primary", *more, tls=tls)
        self._way = Relay(("127.0.0.1", self.primary.port))
        """From the primary to its replica."""
        follows = ("--replicaof", f"127.0.0.1 {self._way.address[1]}")
        self.replica = RedisServer(directory / "replica", *more, *follows, tls=tls)
        eventually(lambda: self._link() == "connected", "the replica has all", LONGEST_S)
        self._sentinels = []
        for number in range(3):
            conf = directory / f"sentinel{number}.conf"
            conf.write_text(CONF.format(port=self.primary.port))
            self._sentinels.append(RedisServer(directory / f"sentinel{number}", *more, tls=tls, conf=conf))
        eventually(lambda: all(map(_knows_all, self._sentinels)), "the Sentinels know all", LONGEST_S)

    def settings(self, ca: str = "") -> dict[str, Any]:
        """Those of a service; with TLS by certificates of that authority."""
        found: dict[str, Any] = {
            "url": "",
            "sentinels": [f"127.0.0.1:{one.port}" for one in self._sentinels],
            "sentinel_name": GROUP,
        }
        if self._tls:
            own = str(self._tls / "agent.pem")
            found |= {"tls": True, "tls_ca": ca or str(self._tls / "cafile.pem")}
            found |= {"tls_cert": own, "tls_key": own}
        return found

    def _link(self) -> str:
        return str(self.replica.command("ROLE")[3])

    def fail_over(self, behind: float) -> None:
        """Have nothing of what the primary is told arrive at its replica for so many seconds, then kill -9
        it; returns when the replica is the primary. What it had not is gone."""
        self._way.forget()
        gevent.sleep(behind)
        self.primary.kill()
        eventually(lambda: self.replica.command("ROLE")[0] == "master", "it is the primary", LONGEST_S)

    def close(self) -> None:
        for one in (*self._sentinels, self.replica, self.primary):
            one.close()
        self._way.stop()


def _knows_all(sentinel: RedisServer) -> bool:
    """Whether it knows the replica and the other Sentinels."""
    words = sentinel.command("SENTINEL", "MASTER", GROUP)
    told = words if isinstance(words, dict) else dict(zip(words[::2], words[1::2], strict=True))
    return (int(told["num-slaves"]), int(told["num-other-sentinels"])) == (1, 2)
