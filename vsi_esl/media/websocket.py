"""One WebSocket of a session, from its handshake on: messages, deadlines, and why it ended.

The framing is that of `websockets`, without its I/O: a connection that another process has upgraded, and one
that we have dialled, are the same from then on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from .patience import Timer

READ_S = 60.0
"""Longest time without a frame."""
WRITE_S = 5.0
"""Longest time in which nothing of what waits to be sent is taken."""
LONGEST = 1 << 20
"""Bytes of one message."""
SLICE = 1024
"""Bytes that are read in one go: frames may be of 2 bytes, and no other session is served meanwhile."""
FRAMES_AT_ONCE = FRAMES_A_SECOND = 1000
"""More frames have to wait, and their peer with them: audio comes in 50 a second."""
UNSENT = 64 * 1024
"""Bytes that wait here, behind those that wait in the kernel; of audio beyond nothing is sent."""
KERNEL = 64 * 1024
"""Bytes that the kernel is to keep for a peer: what it has is late."""

HANGUP, TIMEOUT, PEER_SLOW, RESET, ERROR = "hangup", "timeout", "peer_slow", "connection_reset", "ws_error"
"""Why it ended: the peer closed it, was silent, did not read, was gone; anything else."""
CLEAN = frozenset({1000, 1001, 1005})
"""Close codes of a peer that only ends it (RFC 6455, 7.4.1)."""
GONE = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})

quiet = logging.getLogger("vsi_esl.media.frames")
"""The library would log what is said; nobody is told."""
quiet.addHandler(logging.NullHandler())
quiet.propagate = False
quiet.setLevel(logging.CRITICAL)


class WebSocket(asyncio.Protocol):
    """`heard` gets each message, a text as str: what is no UTF-8 is handed over as it can be. `ended` is why
    it is over, once known; nothing is heard after that."""

    def __init__(
        self,
        protocol: Protocol,
        heard: Callable[[str | bytes], None],
        *,
        read_s: float = READ_S,
        write_s: float = WRITE_S,
    ) -> None:
        self._protocol = protocol
        self._heard = heard
        self._read_s, self._write_s = read_s, write_s
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._silent: Timer | None = None
        self._stuck: Timer | None = None
        self._frame_at = self._loop.time()
        self._unread = bytearray()
        self._resting: asyncio.TimerHandle | None = None
        self._allowance, self._counted = float(FRAMES_AT_ONCE), self._frame_at
        self._parts = bytearray()  # not a list: that would grow with every empty fragment
        self._text = False

    # -- what is said ------------------------------------------------------------------------------------

    @property
    def crowded(self) -> bool:
        """So much waits to be sent that audio is better left out."""
        return self._stuck is not None

    def send_text(self, message: bytes) -> None:
        """Send a text, UTF-8. Lost when it is over."""
        if self._protocol.state is OPEN and not self.ended.done():
            self._protocol.send_text(message)
            self._flush()

    def send_binary(self, message: bytes) -> None:
        """Send bytes. Lost when it is over."""
        if self._protocol.state is OPEN and not self.ended.done():
            self._protocol.send_binary(message)
            self._flush()

    def close(self) -> None:
        """End it: a plain end of the TCP connection, as the protocol of these media has it."""
        self._end(HANGUP)

    # -- asyncio ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.ended.done():
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=UNSENT)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._frame_at = self._loop.time()
        self._silent = Timer(self._read_s, self._look)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if self._resting is None:
            self._read_on()

    def eof_received(self) -> None:
        self._end(HANGUP)  # in the middle of a message as well

    def connection_lost(self, exc: Exception | None) -> None:
        number = exc.errno if isinstance(exc, OSError) else None
        self._end(HANGUP if exc is None else RESET if number in GONE else ERROR)

    def pause_writing(self) -> None:
        self._stuck = self._stuck or Timer(self._write_s, self._slow)

    def resume_writing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    # -- within ----------------------------------------------------------------------------------------------

    def _read_on(self) -> None:
        """Read what has come, so much at a time as may be."""
        paused, self._resting = self._resting is not None, None
        now = self._loop.time()
        self._allowance = min(FRAMES_AT_ONCE, self._allowance + (now - self._counted) * FRAMES_A_SECOND)
        self._counted = now
        while not self.ended.done():
            if self._allowance < 1:
                self._rest(paused)
                return
            part = bytes(self._unread[:SLICE])
            del self._unread[:SLICE]
            self._protocol.receive_data(part)
            self._take()
            if not self._unread:
                break
        if paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _rest(self, paused: bool) -> None:
        """Until one more frame may be read. TCP has the peer wait as well."""
        if not paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._resting = self._loop.call_later((1 - self._allowance) / FRAMES_A_SECOND, self._read_on)

    def _take(self) -> None:
        """Hand on what has come, and send what has to be answered."""
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and not self.ended.done():
                self._frame_at = self._loop.time()
                self._allowance -= 1
                self._frame(event)
        self._flush()
        if self._protocol.parser_exc is not None and not self.ended.done():
            self._end(ERROR)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            close = self._protocol.close_rcvd
            self._flush()  # the answer to it
            self._end(HANGUP if close is not None and close.code in CLEAN else ERROR)
            return
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        whole = bytes(frame.data)
        if not frame.fin or frame.opcode is Opcode.CONT:
            self._parts += whole
            if not frame.fin:
                return
            whole, self._parts = bytes(self._parts), bytearray()
        self._heard(whole.decode(errors="replace") if self._text else whole)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)

    def _look(self) -> None:
        """Whether the peer is still heard of."""
        left = self._frame_at + self._read_s - self._loop.time()
        if left <= 0:
            self._end(TIMEOUT)
        elif not self.ended.done():
            self._silent = Timer(left, self._look)

    def _slow(self) -> None:
        self._end(PEER_SLOW)

    def _end(self, why: str) -> None:
        for timer in (self._silent, self._stuck, self._resting):
            if timer is not None:
                timer.cancel()
        if not self.ended.done():
            self.ended.set_result(why)
        if self._transport is not None and not self._transport.is_closing():
            if why == HANGUP and not self.crowded:
                self._transport.close()
            else:
                self._transport.abort()


async def taken_over(
    connection: socket.socket,
    read: bytes,
    heard: Callable[[str | bytes], None],
    *,
    read_s: float = READ_S,
    write_s: float = WRITE_S,
) -> WebSocket:
    """A connection that another process has upgraded, as its server; `read` is what it has read beyond the
    request."""
    loop = asyncio.get_running_loop()
    protocol = Protocol(Side.SERVER, state=OPEN, max_size=LONGEST, logger=quiet)
    one = WebSocket(protocol, heard, read_s=read_s, write_s=write_s)
    connection.setblocking(False)
    try:
        await loop.connect_accepted_socket(lambda: one, connection)
    except BaseException:
        one.close()  # it may have been made all the same, now or a turn of the loop later
        connection.close()
        raise
    if read:
        one.data_received(read)
    return one
