"""A receiver of webhooks that believes only what is signed: python examples/webhook_receiver.py

Listens on 127.0.0.1:9000, or on the port that is named, and prints each event once. The secret is in
WEBHOOK_SECRET, the same as the service's. Nothing but Python's own library is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_SECRET"].encode()
MOST_BYTES = 1 << 20
REMEMBERED = 10_000
seen: OrderedDict[str, None] = OrderedDict()
"""Ids of the events that were taken: each is delivered at least once, so perhaps twice."""


def is_signed(body: bytes, signature: str) -> bool:
    """Whether the X-Signature-256 of a request is that of its body, byte for byte as it came."""
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())  # takes as long for a wrong one


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        if length > MOST_BYTES:
            self.answer(413)
            return
        body = self.rfile.read(length)
        if not is_signed(body, self.headers.get("X-Signature-256", "")):
            self.answer(403)
            return
        event_id = self.headers["X-Event-Id"]
        if event_id not in seen:
            take(json.loads(body))
            seen[event_id] = None
            if len(seen) > REMEMBERED:
                seen.popitem(last=False)
        self.answer(204)  # anything but 2xx, or nothing within 10 s, and it comes again

    def answer(self, code: int) -> None:
        self.send_response(code)
        if code != 204:
            self.send_header("Content-Length", "0")
        if code == 413:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """One line per event is enough."""


def take(event: dict[str, object]) -> None:
    """What your application does. What takes long belongs into a queue of its own."""
    print(event["type"], event.get("leg_id") or event.get("room_id") or "", flush=True)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
