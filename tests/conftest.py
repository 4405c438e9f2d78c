"""Shared test set-up: the standard library is patched for gevent before anything else is imported."""

from gevent import monkey

monkey.patch_all()
