"""PNG files made small: 256 colours at most, which is what a picture of a page needs."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256
ALIKE = 100
"""Squared distance of two colours that nobody tells apart."""


def shrink(png: bytes) -> bytes:
    """The same picture with a palette. ValueError for one that is not of 8-bit RGB or RGBA."""
    pixels = read(png)
    packed = (
        (pixels[..., 0].astype(np.uint32) << 16) | (pixels[..., 1].astype(np.uint32) << 8) | pixels[..., 2]
    )
    colours, counts = np.unique(packed, return_counts=True)
    parts = _chosen(colours[np.argsort(counts)[::-1]])
    # each other colour, an edge of a letter, becomes the nearest of those
    all_parts = np.stack([(colours >> shift) & 255 for shift in (16, 8, 0)], axis=1).astype(np.int32)
    nearest = np.concatenate(
        [
            np.argmin(((some[:, None, :] - parts[None, :, :]) ** 2).sum(axis=2), axis=1)
            for some in np.array_split(all_parts, max(1, len(all_parts) // 4096))
        ]
    )
    indexed = nearest[np.searchsorted(colours, packed)].astype(np.uint8)
    height, width = indexed.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = indexed
    head = struct.pack("!IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return SIGNATURE + b"".join(
        (
            _chunk(b"IHDR", head),
            _chunk(b"PLTE", parts.astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chosen(colours: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of colours, the most frequent first, those that are not much like one before them."""
    parts = np.stack([(colours >> shift) & 255 for shift in (16, 8, 0)], axis=1).astype(np.int32)
    kept: list[np.ndarray[Any, Any]] = []
    for near in (ALIKE, ALIKE * 4, ALIKE * 16):
        kept = []
        for part in parts:
            if not kept or ((np.array(kept) - part) ** 2).sum(axis=1).min() > near:
                kept.append(part)
                if len(kept) > COLOURS:
                    break
        if len(kept) <= COLOURS:
            break
    return np.array(kept[:COLOURS])


def read(png: bytes) -> np.ndarray[Any, Any]:
    """Pixels as rows of (red, green, blue)."""
    if not png.startswith(SIGNATURE):
        raise ValueError("no PNG")
    at, data, head = len(SIGNATURE), b"", b""
    while at < len(png):
        (size,) = struct.unpack_from("!I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        head = body if kind == b"IHDR" else head
        data += body if kind == b"IDAT" else b""
        at += size + 12
    width, height, depth, colour = struct.unpack_from("!IIBB", head)
    if depth != 8 or colour not in (2, 6):
        raise ValueError("not of 8-bit RGB or RGBA")
    channels = 3 if colour == 2 else 4
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    return _unfiltered(lines, channels).reshape(height, width, channels)[..., :3]


def _unfiltered(lines: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    """What the filters of the format (PNG, 9) were put on."""
    above = np.zeros(lines.shape[1] - 1, np.uint8)
    rows = []
    for line in lines:
        kind, row = int(line[0]), line[1:].copy()
        if kind == 1:
            row = _added(row, channels)
        elif kind == 2:
            row += above
        elif kind in (3, 4):
            _walk(row, above, channels, kind)
        rows.append(row)
        above = row
    return np.stack(rows)


def _added(row: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    return np.cumsum(row.reshape(-1, channels), axis=0, dtype=np.uint8).reshape(-1)


def _walk(row: np.ndarray[Any, Any], above: np.ndarray[Any, Any], channels: int, kind: int) -> None:
    line, up = row.tolist(), above.tolist()
    for at in range(len(line)):
        left = line[at - channels] if at >= channels else 0
        if kind == 3:
            line[at] = (line[at] + (left + up[at]) // 2) & 255
            continue
        corner = up[at - channels] if at >= channels else 0
        guess = left + up[at] - corner
        distances = (abs(guess - left), abs(guess - up[at]), abs(guess - corner))
        line[at] = (line[at] + (left, up[at], corner)[distances.index(min(distances))]) & 255
    row[:] = line


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack("!I", len(body)) + kind + body + struct.pack("!I", zlib.crc32(kind + body))
