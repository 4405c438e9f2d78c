"""What a service asks a companion about files: the names of it, which both ends have from here."""

from __future__ import annotations

CLIP, PLACE, PUBLISH, REMOVE, PROBE, UPLOAD = OPERATIONS = (
    "clip",
    "place",
    "publish",
    "remove",
    "probe",
    "upload",
)
HOLD, RELEASE, HOLDING = "hold", "release", "holding"
"""Said without an answer: of one file of the spool, and of all that the service holds."""

MEDIA, INVALID, INTERNAL, UPLOAD_FAILED = "media", "invalid", "internal", "upload"
"""Kinds of errors that are told apart."""

GRACE_S = 30.0
"""How long the companion holds a clip that was asked for: by then the service says that it holds it."""
