"""The `.ecdc` container: bytes <-> header and sections; version 0, the official one, too. Layout: docs/FORMAT.md."""

from .header import Header
from .parser import StreamParser, pieces
from .sections import End, Index, Packet, Tags
from .version0 import LAYOUTS, Version0Writer
from .writer import StreamWriter

__all__ = ["End", "Header", "Index", "LAYOUTS", "Packet", "StreamParser", "StreamWriter", "Tags", "Version0Writer", "pieces"]
