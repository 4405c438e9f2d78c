"""Where a recording goes: its folder, its name, and the hidden file beside it that the switch writes to."""

from __future__ import annotations

import os
import secrets
import time
import unicodedata

import structlog

from ...calls.context import Context
from ...calls.host import Host
from ...errors import Conflict, Internal, Invalid
from ...later import Within
from ...model.leg import Leg
from ...model.owner import Owner, of_leg, of_room
from ...model.recording import Part, Recording, file_name
from ...model.room import Room
from ...model.sound_stores import Recordings
from ...storage.s3 import S3Target
from .failures import Failures

log = structlog.get_logger(__name__)

MAX_NAME_BYTES = 128
"""With the `.wav`, as in the reference."""
DISK_TIMEOUT_S = 5.0
EXISTS = "recording file already exists"


def place(ctx: Context, host: Host, owner: Owner, name: str) -> str:
    """The file for a recording that is to be begun, with a directory that can take it. Waits for the disk.

    Conflict when the leg or room is being recorded, or when the file exists; Invalid for a name that cannot
    be; Internal when the disk does not take it. What `owner` names may be gone afterwards.
    """
    _free(ctx, owner)
    directory = host.recordings
    file = os.path.join(directory, checked_name(name) if name else file_name(time.time()))
    try:
        with Within(DISK_TIMEOUT_S, Internal("create recording dir: the disk does not answer")):
            taken = host.place(directory, file)
    except Internal as error:
        ctx.get(Failures).count("start")
        log.error("recording not started", directory=directory, error=error.message)
        raise
    if name and taken:
        raise Conflict(EXISTS)
    return file


def new_recording(
    ctx: Context, owner: Leg | Room, rate: int, target: S3Target | None, file: str
) -> Recording:
    """An armed recording of a leg or room to a file that `place` gave, not yet known to anybody. Does not
    wait. Conflict when another one was faster."""
    _free(ctx, of_leg(owner.id) if isinstance(owner, Leg) else of_room(owner.id))
    if ctx.get(Recordings).uses(file):
        raise Conflict(EXISTS)
    recording = Recording(f"rec-{secrets.token_hex(6)}", file, rate, owner.app_id, node=owner.node)
    recording.parts.append(Part(os.path.abspath(recording.part_of("part0"))))
    recording.s3 = target.to_dict() if target else None
    if isinstance(owner, Leg):
        recording.leg_id = owner.id
    else:
        recording.room_id = owner.id
    return recording


def _free(ctx: Context, owner: Owner) -> None:
    if ctx.get(Recordings).running(owner) is not None:
        raise Conflict("recording already in progress")


def checked_name(name: str) -> str:
    """A client's file name: letters, digits and `-_.`, without `..` or a dot at either end; blanks around it
    are dropped and `.wav` is added when missing. Invalid otherwise. The reference's rule."""
    stem = name.strip()
    if stem[-4:].lower() == ".wav":
        stem = stem[:-4]
    file = f"{stem}.wav"
    dotted = ".." in stem or stem.startswith(".") or stem.endswith(".")
    if not stem or dotted or not all(map(_may_stand, stem)) or len(file.encode()) > MAX_NAME_BYTES:
        raise Invalid("invalid recording filename")
    return file


def _may_stand(character: str) -> bool:
    category = unicodedata.category(character)
    return character in "-_." or category == "Nd" or category.startswith("L")
