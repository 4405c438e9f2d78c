"""A webhook receiver that does as little as possible, in a process of its own: answers 200 to all."""

from __future__ import annotations

import selectors
import socket

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Peer:
    """One connection: counts bytes up to the end of each request."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._held = b""

    def ready(self) -> bool:
        """Answer what is complete; False when the connection is gone."""
        try:
            block = self.sock.recv(65536)
        except OSError:
            return False
        self._held += block
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self._held) < end + 4 + length:
                break
            self._held = self._held[end + 4 + length :]
            self.sock.sendall(ANSWER)
        return bool(block)


def main() -> None:
    """Say the port, then serve until killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    print(listener.getsockname()[1], flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(sock, selectors.EVENT_READ, Peer(sock))
            elif not key.data.ready():
                selector.unregister(key.data.sock)
                key.data.sock.close()


if __name__ == "__main__":
    main()
