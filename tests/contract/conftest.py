"""The services and switches of the conformance tests."""

from tests.conformance.conftest import client, connect, freeswitch, service, start, switch

__all__ = ["client", "connect", "freeswitch", "service", "start", "switch"]
