"""The `.ecdc` container, version 1: bytes <-> header and sections. Layout: docs/FORMAT.md."""

from .header import Header
from .parser import StreamParser, pieces
from .sections import End, Index, Packet, Tags
from .writer import StreamWriter

__all__ = ["End", "Header", "Index", "Packet", "StreamParser", "StreamWriter", "Tags", "pieces"]
