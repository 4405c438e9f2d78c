"""Whose request it is behind proxies, whatever the client writes."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsi_esl.web.forwarded import address_of, client_of, within

PROXIES = tuple(map(ipaddress.ip_network, ("127.0.0.1/32", "10.0.0.0/8", "2001:db8:1::/48")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "198.51.100.1,192.0.2.7 , 10.1.2.3", "192.0.2.7"),
        ("2001:db8:1::9", "2001:db8:2::1", "2001:db8:2::1"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.1", "10.0.0.1", "192.0.2.1"),
        ("192.0.2.1", "", "192.0.2.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.2, 10.0.0.1", "10.0.0.2"),
        ("127.0.0.1", "192.0.2.7, ", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.7, unknown", "unknown"),
        ("127.0.0.1", "192.0.2.7, 10.0.0.1:4000", "10.0.0.1:4000"),
        ("", "10.0.0.1", ""),
    ],
)
def test_the_client_is_who_asked_the_first_of_our_proxies(peer, forwarded, client):
    assert client_of(peer, forwarded, PROXIES) == client


ENTRY = st.sampled_from(["192.0.2.66", "10.0.0.1", "127.0.0.1", "unknown", "", " ", "::1", "a" * 300])


@given(st.lists(ENTRY, max_size=40), st.sampled_from(["198.51.100.9", "2001:db8:2::9"]))
def test_what_the_client_writes_changes_nothing(written, client):
    """One honest proxy, which puts who asks it behind whatever there is."""
    header = ", ".join([*written, client])
    assert client_of("127.0.0.1", header, PROXIES) == client
    assert client_of("10.0.0.1", f"{header}, 10.0.0.2", PROXIES) == client


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" ::ffff:192.0.2.1 ", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("192.0.2.1:80", None),
        ("[::1]", None),
    ],
)
def test_addresses(text, address):
    found = address_of(text)
    assert (found and str(found)) == address
    assert within(found, ()) is False
