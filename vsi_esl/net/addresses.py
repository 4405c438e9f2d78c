"""Addresses as people and URLs write them."""

from __future__ import annotations


def in_uri(host: str) -> str:
    """A host as it stands before a port: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def host_port(host: str, port: int) -> str:
    """Both in one; what this makes can be put behind `http://`."""
    return f"{in_uri(host)}:{port}"
