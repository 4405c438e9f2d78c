"""The rules of the WebSocket upgrade."""

from __future__ import annotations

import pytest

from vsi_esl.web import wshandshake

REQUEST = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, True),
        ({"HTTP_UPGRADE": "WebSocket"}, True),
        ({"HTTP_CONNECTION": "keep-alive, Upgrade"}, True),
        ({"REQUEST_METHOD": "POST"}, False),
        ({"HTTP_UPGRADE": "h2c"}, False),
        ({"HTTP_CONNECTION": "keep-alive"}, False),
        ({"HTTP_CONNECTION": "noupgrade"}, False),
    ],
)
def test_what_asks_for_a_websocket(change, wanted):
    assert wshandshake.wants_upgrade(REQUEST | change) is wanted


def test_a_plain_request_asks_for_none():
    assert wshandshake.wants_upgrade({"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"}) is False


def test_the_example_of_the_rfc():
    assert wshandshake.refusal(REQUEST) is None
    assert wshandshake.accept(REQUEST["HTTP_SEC_WEBSOCKET_KEY"]) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, "400"),
        ({"CONTENT_LENGTH": "1"}, "400"),
        ({"CONTENT_LENGTH": "0"}, None),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "400"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, "426"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "13, 13"}, "426"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "größe"}, "400"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "c2hvcnQ="}, "400"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ"}, "400"),
    ],
)
def test_refusals(change, status):
    refusal = wshandshake.refusal(REQUEST | change)
    assert (refusal and refusal[0][:3]) == status


def test_a_refused_version_names_the_right_one():
    refusal = wshandshake.refusal(REQUEST | {"HTTP_SEC_WEBSOCKET_VERSION": "8"})
    assert refusal is not None
    assert ("Sec-WebSocket-Version", "13") in refusal[1]
    assert ("Upgrade", "websocket") in refusal[1]
