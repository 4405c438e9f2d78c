"""Loaded by pytest before every other plugin (see pyproject.toml): patches the standard library for gevent,
which must come before anything that imports ssl."""

import signal

from gevent import monkey

monkey.patch_all()

# In the background, or under nohup, these are ignored, and the programs that tests start and interrupt would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
