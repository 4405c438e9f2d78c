"""Loaded by pytest before every other plugin (see pyproject.toml): patches the standard library for gevent,
which must come before anything that imports ssl."""

from gevent import monkey

monkey.patch_all()
