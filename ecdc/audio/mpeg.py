"""Frames of MP1, MP2 and MP3: counted one by one, as nothing else tells how many there are."""

from __future__ import annotations

from typing import NamedTuple

from .parts import Part
from .window import Window

RATES = (44100, 48000, 32000)
# kbps by (is MPEG 1, layer).
BITRATES = {
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# What is looked through for the next frame after bytes that are none.
GAP = 1 << 16
ID3_HEADER, ID3_TRAILER = 10, 128


class Frame(NamedTuple):
    """`size` in bytes, `samples` per channel; `kind`: what all frames of one recording have in common."""

    size: int
    samples: int
    rate: int
    kind: tuple[int, int, int, bool]

    @property
    def side_information(self) -> int:
        """Bytes between a layer 3 frame's header and what an Info frame says."""
        version, _, _, mono = self.kind
        return (17 if mono else 32) if version == 3 else (9 if mono else 17)


def parse_frame(head: bytes) -> Frame | None:
    """The frame that begins with these four bytes; None if none does, or its length is not said."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate_index == 3:
        return None
    rate = RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    kbps = BITRATES[version == 3, layer][bitrate - 1]
    kind = (version, layer, rate, head[3] >> 6 == 3)
    if layer == 1:
        return Frame((12000 * kbps // rate + padding) * 4, 384, rate, kind)
    samples = 576 if layer == 3 and version != 3 else 1152
    return Frame(samples * 125 * kbps // rate + padding, samples, rate, kind)


def id3_size(file: Window, position: int = 0) -> int:
    """Bytes of the ID3v2 tag at `position`, 0 if there is none."""
    head = file.at(position, ID3_HEADER)
    if len(head) < ID3_HEADER or head[:3] != b"ID3" or max(head[6:]) > 127:
        return 0
    size = 0
    for byte in head[6:]:
        size = size << 7 | byte
    return ID3_HEADER + size + (ID3_HEADER if head[5] & 0x10 else 0)


def is_mpeg(file: Window, position: int) -> bool:
    """Whether two frames of a kind follow each other there (or one ends the file)."""
    frame = parse_frame(file.at(position, 4))
    if frame is None:
        return False
    following = parse_frame(file.at(position + frame.size, 4))
    return position + frame.size >= len(file) or (following is not None and following.kind == frame.kind)


def _info_frames(file: Window, position: int, frame: Frame) -> int | None:
    """What an Info or Xing frame promises; 0 if it is one that promises nothing, None if it is none."""
    body = file.at(position + 4, 64)
    start = frame.side_information
    if body[start : start + 4] in (b"Xing", b"Info"):
        return int.from_bytes(body[start + 8 : start + 12], "big") if body[start + 7] & 1 else 0
    return 0 if body[32:36] == b"VBRI" else None


class Walk:
    """Goes from frame to frame and collects parts: one for each Info frame, and for frames that none counts."""

    def __init__(self, file: Window, position: int):
        self.file, self.position = file, position
        self.parts: list[Part] = []
        # The part at hand.
        self.start, self.first, self.promised, self.frames = 0, None, 0, 0  # type: int, Frame | None, int, int

    def run(self) -> list[Part]:
        while (found := self._next()) is not None:
            frame, end = found, self.position + found.size
            promised = _info_frames(self.file, self.position, frame) if frame.kind[1] == 3 else None
            done = self.promised and self.frames == self.promised
            if self.first is None or promised is not None or done or frame.kind[:3] != self.first.kind[:3]:
                self._close(self.position)
                # Of an Info frame that promises nothing, there is no use.
                self.start = end if promised == 0 else self.position
                self.first, self.promised, self.frames = frame, promised or 0, 0
            if end > len(self.file):
                self._close(len(self.file), cut=True)
                return self.parts
            if promised is None:
                self.frames += 1
            self.position = end
        self._close(len(self.file))
        return self.parts

    def _close(self, end: int, cut: bool = False) -> None:
        frame = self.first
        if frame is None or not (self.frames or self.promised or cut):
            return
        missing = self.promised - self.frames
        fault = ""
        if cut or missing > 0:
            fault = "cut off" if cut or missing == 1 else f"cut off: {missing} of {self.promised} frames are missing"
        samples = None if self.promised else self.frames * frame.samples
        self.parts.append(Part(self.start, end, "" if self.promised else "mp3", samples, fault))
        self.first = None

    def _next(self) -> Frame | None:
        """The next frame, at `self.position`, behind tags and other bytes that are none."""
        frame = parse_frame(self.file.at(self.position, 4))
        if frame is not None and (self.first is None or frame.kind[:3] == self.first.kind[:3]):
            return frame
        while self.position < len(self.file):
            self.position += id3_size(self.file, self.position)
            data = self.file.at(self.position, GAP)
            for offset in _candidates(data):
                if is_mpeg(self.file, self.position + offset):
                    self.position += offset
                    return parse_frame(self.file.at(self.position, 4))
                if data[offset : offset + 3] == b"ID3" and id3_size(self.file, self.position + offset):
                    self.position += offset
                    break
            else:
                self.position += max(1, len(data) - 3)
        return None


def _candidates(data: bytes) -> list[int]:
    """Where a frame or an ID3v2 tag might begin."""
    found = []
    for mark in (b"\xff", b"ID3"):
        position = data.find(mark)
        while position >= 0:
            found.append(position)
            position = data.find(mark, position + 1)
    return sorted(found)


def mpeg_parts(file: Window, position: int) -> list[Part]:
    """The parts of MPEG audio that begins at `position`."""
    parts = Walk(file, position).run()
    # libsndfile takes the tags from before the first frame.
    return [parts[0]._replace(start=0), *parts[1:]] if parts and not parts[0].format else parts
