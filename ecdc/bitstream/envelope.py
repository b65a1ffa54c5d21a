"""What a payload begins with in a stream that has envelopes (docs/FORMAT.md, "Envelopes")."""

from __future__ import annotations

from ..errors import BitstreamError
from .cursor import Cursor, Incomplete, varint


def pack_envelope(coded: bytes | None) -> bytes:
    """What a payload begins with in a stream that has envelopes: its length and 1, or 0 where the packet has none."""
    return varint(0) if coded is None else varint(1 + len(coded)) + coded


def split_envelope(payload: bytes) -> tuple[bytes | None, bytes]:
    """The coded envelope, or None, and the rest of the payload."""
    cursor = Cursor(payload)
    try:
        length = cursor.varint()
        return (cursor.take(length - 1) if length else None), cursor.rest
    except Incomplete:
        raise BitstreamError("damaged: it is too short for its envelope") from None


def without_envelope(payload: bytes) -> bytes:
    """The payload of a packet in a stream that has envelopes, with none."""
    return pack_envelope(None) + split_envelope(payload)[1]
