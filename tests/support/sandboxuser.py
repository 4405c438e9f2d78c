"""A sandbox in a process of its own, as another user: `-m tests.support.sandboxuser UID GID GROUP UMASK`.

Prints its event socket port and runs until it is ended. What it needs is imported before the user is changed,
who may not be able to read it.
"""

from __future__ import annotations

import os
import sys

import gevent

from vsi_esl.sandbox import SandboxSwitch

PASSWORD = "vsi-test"


def main() -> None:
    uid, gid, group, umask = (int(argument, 0) for argument in sys.argv[1:])
    switch = SandboxSwitch(password=PASSWORD)
    switch.start()
    os.setgroups([group])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(umask)
    print(switch.address[1], flush=True)
    gevent.get_hub().join()


if __name__ == "__main__":
    main()
