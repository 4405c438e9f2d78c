"""A process to be killed: publishes numbered events to a durable webhook, and says which ones it published.

For each line on standard input it forks a child that goes on with the outbox where the last one was killed.
A line is `RUN COUNT`: the child publishes COUNT events whose numbers begin at RUN * STEP, over some legs,
then stays. It writes `RUN started` when the outbox is open, and each number when its publishing has returned;
when nothing waits in the outbox any more it writes `RUN empty`. Forking saves the time of the imports.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402
import gevent.event  # noqa: E402

from vsi_esl.config.web import WebhookSettings  # noqa: E402
from vsi_esl.delivery.bus import EventBus  # noqa: E402
from vsi_esl.delivery.webhooks.targets import Router  # noqa: E402
from vsi_esl.delivery.webhooks.webhooks import Webhooks  # noqa: E402
from vsi_esl.events.text import DtmfReceived  # noqa: E402
from vsi_esl.model.stores import Legs, Rooms  # noqa: E402
from vsi_esl.ops import logs  # noqa: E402

STEP = 100_000
LEGS = 7


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def child(url: str, path: str, run: int, count: int) -> None:
    settings = WebhookSettings(url=url, secret="s", backoff_min=0.02, backoff_max=0.1)
    bus = EventBus("child")
    webhooks = Webhooks(settings, path, Router(Legs(), Rooms(), True))
    bus.add_sink(webhooks.offer)
    webhooks.start()
    say(f"{run} started")
    for number in range(run * STEP, run * STEP + count):
        bus.publish(DtmfReceived(leg_id=f"leg{number % LEGS}", digit="1", seq=number))
        say(str(number))
        if number % 5 == 0:
            gevent.sleep(0.001)
    while webhooks.pending:
        gevent.sleep(0.01)
    say(f"{run} empty")
    gevent.event.Event().wait(60)


def main() -> None:
    logs.setup("error", "json", sys.stderr)
    url, path = sys.argv[1:]
    say("ready")
    while line := sys.stdin.readline():
        run, count = map(int, line.split())
        # plain fork: there is no hub yet that would need gevent's
        pid = monkey.get_original("os", "fork")()
        if pid == 0:
            child(url, path, run, count)
            os._exit(0)
        say(f"pid {pid}")
        _, status = monkey.get_original("os", "waitpid")(pid, 0)
        say(f"{run} ended {signal.Signals(os.WTERMSIG(status)).name}")


if __name__ == "__main__":
    main()
