"""Streams made, read and made anew in memory, with valid checksums."""

import dataclasses
import io

import numpy as np
from conftest import TINY, noise

import ecdc
from ecdc.bitstream import Header, Packet, StreamParser, StreamWriter
from ecdc.codec.config import CodecConfig
from ecdc.codec.envelope import Meter, Shaper


def pieces(data, sizes, axis_length: int):
    """`data` cut into these sizes, the rest in one."""
    position = 0
    for size in sizes:
        yield (
            data[..., position : position + size] if isinstance(data, np.ndarray) else data[position : position + size]
        )
        position += size
    if position < axis_length:
        yield data[..., position:] if isinstance(data, np.ndarray) else data[position:]


def decompressed(data: bytes, sizes, model) -> np.ndarray:
    decompressor = ecdc.Decompressor(model)
    blocks = [block for part in pieces(data, sizes, len(data)) for block in decompressor.push(part)]
    decompressor.close()
    return np.concatenate(blocks, axis=1)


def packed(
    codec, wave: np.ndarray, bandwidth: float = 3.0, sizes=(), nearest: bool = False, rate: int | None = None, **options
) -> bytes:
    """`wave` [C, T] at `rate`, or the model's, pushed in pieces of these sizes; `nearest`: not searched for."""
    compressor = ecdc.Compressor(codec, rate or codec.config.sample_rate, len(wave), bandwidth, **options)
    if nearest:
        encoder = compressor.encoder
        encoder.plan = dataclasses.replace(encoder.plan, searched=False)
        encoder.coding = encoder.new_coding()
    return b"".join(compressor.push(part) for part in pieces(wave, sizes, wave.shape[1])) + compressor.flush()


def decoded(data: bytes, model=TINY, **options) -> np.ndarray:
    return ecdc.read(io.BytesIO(data), model=model, **options)[0]


def check_any_sizes(codec, samples: int, in_sizes: list[int], out_sizes: list[int], **options) -> None:
    """Whatever sizes are pushed, in either direction: the same bytes, and the same samples."""
    wave = noise(samples)[None, :, 0] * np.exp(-np.arange(samples) / 6000).astype(np.float32)
    whole = packed(codec, wave, **options)
    assert packed(codec, wave, sizes=in_sizes, **options) == whole
    np.testing.assert_array_equal(decompressed(whole, out_sizes, TINY)[0], decoded(whole))
    assert len(decoded(whole)) == samples


def measured(config: CodecConfig, block: int, wave: np.ndarray) -> np.ndarray:
    """Levels [C, blocks, bands] of `wave` [C, T]."""
    meter = Meter(config, block)
    meter.push(wave)
    return meter.levels(wave.shape[1])


def shaped(shaper: Shaper, wave: np.ndarray, levels, sizes=()) -> np.ndarray:
    """`wave` [C, T] with these levels, pushed in pieces of these sizes."""
    shaper.expect(wave.shape[1], levels)
    parts = [shaper.push(part) for part in pieces(wave, sizes, wave.shape[1])]
    return np.concatenate([*parts, shaper.flush(np.zeros((len(wave), 0), np.float32))], axis=1)


def header(data: bytes) -> Header:
    parser = StreamParser()
    list(parser.push(data))
    return parser.header


def packets(data: bytes) -> list[Packet]:
    return [section for section in StreamParser().push(data) if isinstance(section, Packet)]


def rewritten(data: bytes, payload, scaled: bool = False, **fields) -> bytes:
    """With other payloads, and other `fields` of the header; packets may claim to be scaled."""
    parser = StreamParser()
    sections = list(parser.push(data))
    writer = StreamWriter(dataclasses.replace(parser.header, samples=None, **fields))
    data = writer.start({})
    for packet in (section for section in sections if isinstance(section, Packet)):
        data += writer.packet(payload(packet.payload), packet.frames, key=packet.key, last=packet.last, scaled=scaled)
    return data + writer.finish(sections[-1].samples)


def damaged(data: bytes, number: int) -> bytes:
    """With zeros in place of a packet's payload; its checksum is wrong."""
    payload = packets(data)[number].payload
    return data.replace(payload, bytes(len(payload)))


def band_noise(seconds: int, seed: int = 0) -> np.ndarray:
    """[1, T] at 24 kHz with a spectrum that falls and a level that changes."""
    wave = noise(seconds * 24000, seed=seed)[:, 0]
    spectrum = np.fft.rfft(wave) / (1 + np.fft.rfftfreq(len(wave), 1 / 24000) / 500)
    return (np.fft.irfft(spectrum) * (1.2 + np.sin(np.arange(len(wave)) / 9000)))[None].astype(np.float32)


def parse(data: bytes, sizes=None) -> tuple[StreamParser, list]:
    parser, sections, position = StreamParser(), [], 0
    for size in sizes or [len(data)]:
        sections += parser.push(data[position : position + size])
        position += size
    parser.close()
    return parser, sections


def assert_same_version_0(ours: bytes, theirs: bytes) -> None:
    """The same bytes, but that a scale, a mean of squares in float32, may be one rounding off."""
    assert len(ours) == len(theirs)
    found, expected = (packets(data) for data in (ours, theirs))
    if header(theirs).channels == 1:
        assert ours == theirs
    for one, other in zip(found, expected, strict=True):
        assert one.payload[4:] == other.payload[4:]
        np.testing.assert_allclose(*(np.frombuffer(part.payload[:4], "<f4") for part in (one, other)), rtol=2e-7)
