"""What `vsi-esl doctor` looks at where several services share their switches: Redis, and that it and each
switch say the same of whose that is."""

from __future__ import annotations

from collections.abc import Iterator

import gevent

from ..cluster.connection import RedisConnection
from ..cluster.doctor import redis_checks
from ..cluster.leases import Holder, holder_of
from ..config import Config
from ..errors import VsiError
from ..model.channel import DEFAULT_NODE
from ..ops.findings import FAIL, OK, WARN, Ask, Check
from ..switch.lines import fence
from ..switch.lines.fence import Fence

LOOKS, LOOK_S = 4, 1.0
"""A switch that is taken or handed over is so for longer than one look."""


def cluster_checks(config: Config) -> Iterator[Check]:
    """Redis itself."""
    redis = RedisConnection(config.redis)
    redis.start()
    try:
        yield from redis_checks(config.redis, redis)
    finally:
        redis.stop()


def fence_checks(config: Config, ask: Ask) -> Iterator[Check]:
    """Of the one switch in `config`, that can be asked."""
    switch = next((one.name for one in config.switches), DEFAULT_NODE)
    redis = RedisConnection(config.redis)
    redis.start()
    try:
        if not redis.wait_available(config.redis.connect_timeout + config.redis.command_timeout):
            shown = fence.read(ask(fence.SHOWN))
            yield Check("owner", WARN, f"it shows {_named(shown)}; Redis is away: {redis.error}")
            return
        yield _owner(redis, switch, ask)
    except VsiError as error:
        yield Check("owner", WARN, error.message, "Redis stopped answering")
    finally:
        redis.stop()


def _owner(redis: RedisConnection, switch: str, ask: Ask) -> Check:
    found = Check("owner", FAIL, "")
    for look in range(LOOKS):
        if look:
            gevent.sleep(LOOK_S)
        holder = holder_of(redis, switch)
        highest = int(redis.command("GET", redis.key("fence", switch)) or 0)
        found = _compared(holder, highest, fence.read(ask(fence.SHOWN)))
        if found.status == OK:
            break
    return found


def _compared(holder: Holder | None, highest: int, shown: Fence | None) -> Check:
    """The lease, the highest fence that Redis has given, and what the switch shows."""
    name = "owner"
    if shown is not None and shown.number > highest:
        hint = "Redis lacks its last moments: who takes the switch next goes above that"
        return Check(name, WARN, f"it shows {_named(shown)}, above all of Redis ({highest})", hint)
    if holder is None:
        if shown is None:
            return Check(name, OK, "no service has it, and it shows none")
        hint = "that service is stopped, or does not reach Redis; another takes the switch, if there is one"
        return Check(name, WARN, f"it shows {_named(shown)}, which has no lease", hint)
    lease = Fence(holder.fence, holder.service)
    if shown == lease:
        return Check(name, OK, _named(shown))
    hint = f"{holder.service} does not reach the switch, or just takes it: see its /readyz"
    return Check(name, WARN, f"it shows {_named(shown)}, and the lease is of {_named(lease)}", hint)


def _named(shown: Fence | None) -> str:
    return "nothing" if shown is None else f"service {shown.service}, fence {shown.number}"
