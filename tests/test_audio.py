"""Audio in and out, with libsndfile and sox-like headers as peers; pipes are real ones."""

import io
import os
import struct
import threading

import numpy as np
import pytest
import soundfile
from conftest import MUSIC, noise

from ecdc.audio import wav, writer
from ecdc.audio.formats import FORMATS
from ecdc.audio.pcm import encode_pcm
from ecdc.audio.reader import RawFormat, open_audio
from ecdc.audio.wav import wav_header
from ecdc.audio.writer import check_output_format, open_writer
from ecdc.errors import AudioError

WAV_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
OTHERS = (
    ("flac", "PCM_16"),
    ("ogg", "VORBIS"),
    ("ogg", "OPUS"),
    ("mp3", None),
    ("aiff", "PCM_24"),
    ("au", "PCM_16"),
    ("wav", "ULAW"),
    ("wav", "IMA_ADPCM"),
    ("w64", "PCM_16"),
    ("caf", "PCM_16"),
    ("rf64", "PCM_16"),
)


def read_all(source, *arguments, **options) -> tuple[np.ndarray, int, int]:
    """`[T, C]`, the rate, and the number of samples known beforehand."""
    with open_audio(source, *arguments, **options) as reader:
        blocks = list(reader.blocks())
        return np.concatenate(blocks, axis=1).T if blocks else None, reader.samplerate, reader.samples


def as_pipe(data: bytes):
    """The reading end of a pipe through which `data` comes in uneven pieces."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file:
            position = 0
            while position < len(data):
                position += file.write(data[position : position + 7777])

    threading.Thread(target=feed, daemon=True).start()
    return os.fdopen(reading, "rb")


@pytest.mark.parametrize("channels", (1, 2, 6))
@pytest.mark.parametrize("subtype", WAV_SUBTYPES)
def test_wav_reads_as_libsndfile_reads_it(tmp_path, subtype, channels):
    path = tmp_path / "in.wav"
    soundfile.write(path, noise(70001, channels), 44100, subtype)
    expected, rate = soundfile.read(path, dtype="float32", always_2d=True)
    for source in (path, as_pipe(path.read_bytes()), io.BytesIO(path.read_bytes())):
        data, samplerate, samples = read_all(source)
        np.testing.assert_array_equal(data, expected)
        assert (samplerate, samples) == (rate, len(expected))


@pytest.mark.parametrize("extension, subtype", OTHERS)
def test_other_formats_from_files_and_pipes(tmp_path, extension, subtype):
    path = tmp_path / f"in.{extension}"
    soundfile.write(path, noise(50000, 2), 48000, subtype)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    for source in (path, str(path), as_pipe(path.read_bytes()), io.BytesIO(path.read_bytes())):
        data, samplerate, samples = read_all(source)
        np.testing.assert_array_equal(data, expected)
        assert (samplerate, samples) == (48000, len(expected))


def wav_bytes(samples: np.ndarray, data_size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    data = samples.astype("<i2").tobytes()
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return b"RIFF" + b"\xff" * 4 + b"WAVE" + before + fmt + b"data" + struct.pack("<I", data_size) + data + after


@pytest.mark.parametrize("size", (0, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF, 0xFFFFFFDB))
def test_headers_of_unknown_length(size):
    samples = np.arange(-500, 500)
    for source in (as_pipe(wav_bytes(samples, size)), io.BytesIO(wav_bytes(samples, size))):
        data, _, known = read_all(source)
        assert known is None
        np.testing.assert_array_equal(data[:, 0] * 32768, samples)


def test_chunks_around_the_samples_are_no_samples():
    samples = np.arange(100)
    extra = b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    data, _, known = read_all(as_pipe(wav_bytes(samples, 200, extra, extra)))
    assert known == 100 and len(data) == 100


def test_a_cut_off_wav_is_an_error_unless_its_length_is_ignored():
    cut = wav_bytes(np.arange(100), 300)
    with pytest.raises(AudioError, match="50 of 150 samples"):
        read_all(as_pipe(cut))
    data, _, known = read_all(as_pipe(cut), ignore_length=True)
    assert known is None and len(data) == 100


@pytest.mark.parametrize(
    "data",
    (
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01",
        b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0xx",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"not audio at all",
        b"\0",
        b"",
        b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\xffxx",
        b"fLaC" + b"\0" * 50,
        b"OggS" + b"\xff" * 50,
    ),
)
def test_what_is_no_audio(data, tmp_path):
    path = tmp_path / "bad"
    path.write_bytes(data)
    for source in (as_pipe(data), path):
        with pytest.raises(AudioError):
            read_all(source)


@pytest.mark.parametrize("bits, subtype", ((None, "PCM_16"), ("24", "PCM_24"), ("float", "FLOAT")))
@pytest.mark.parametrize("samples", (999, None))
def test_written_wav_reads_in_libsndfile(tmp_path, bits, subtype, samples):
    data = noise(999, 1)
    path = tmp_path / "out.wav"
    with open(path, "w+b") as file:
        writer = open_writer(file, "wav", 44100, 1, samples, bits)
        writer.write(data[:500].T)
        writer.write(data[500:].T)
        writer.close()
    info = soundfile.info(path)
    assert (info.frames, info.samplerate, info.subtype) == (999, 44100, subtype)
    half_step = {"PCM_16": 2.0**-16, "PCM_24": 2.0**-24, "FLOAT": 0}[subtype]
    np.testing.assert_allclose(soundfile.read(path)[0], data[:, 0], rtol=0, atol=half_step + 1e-12)
    assert path.stat().st_size % 2 == 0


def test_wav_to_a_pipe_has_the_conventional_unknown_length():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        writer = open_writer(file, "wav", 8000, 1)
        writer.write(noise(100).T)
        writer.close()
    with os.fdopen(reading, "rb") as file:
        data = file.read()
    assert data[:8] == b"RIFF\xff\xff\xff\xff" and data[36:44] == b"data\xff\xff\xff\xff"
    assert len(read_all(io.BytesIO(data))[0]) == 100


def test_more_than_4_gib_is_rf64():
    samples = 2**31
    header = wav_header("s16le", 48000, 2, samples)
    assert header[:8] == b"RF64\xff\xff\xff\xff" and header[12:16] == b"ds64"
    riff_size, data_size, count = struct.unpack("<QQQ", header[20:44])
    assert (data_size, count, riff_size) == (4 * samples, samples, len(header) - 8 + 4 * samples)
    with open_audio(io.BytesIO(header + bytes(400))) as reader:
        assert (reader.samples, reader.samplerate, reader.channels) == (samples, 48000, 2)
        with pytest.raises(AudioError, match="cut off"):
            list(reader.blocks())


def test_header_grows_when_an_unknown_length_proves_too_long_for_riff(tmp_path, monkeypatch):
    monkeypatch.setattr(wav, "RIFF_LIMIT", 1000)
    monkeypatch.setattr(writer, "MOVED_AT_ONCE", 300)
    wave = noise(777)
    for name, samples in (("known.wav", len(wave)), ("unknown.wav", None)):
        with open(tmp_path / name, "w+b") as file:
            out = open_writer(file, "wav", 8000, 1, samples, tags={"title": "Long"})
            out.write(wave.T)
            out.close()
    data = (tmp_path / "unknown.wav").read_bytes()
    assert data == (tmp_path / "known.wav").read_bytes() and data[:4] == b"RF64"
    assert np.allclose(soundfile.read(tmp_path / "unknown.wav")[0], wave[:, 0], atol=1e-4)
    with open(tmp_path / "only written.wav", "wb") as file:
        out = open_writer(file, "wav", 8000, 1)
        out.write(wave.T)
        out.close()
    assert (tmp_path / "only written.wav").read_bytes()[:8] == b"RIFF\xff\xff\xff\xff"


@pytest.mark.slow
def test_more_than_4_gib_of_unknown_length_are_read_whole(tmp_path):
    block, blocks = noise(1 << 20), 1025
    with open(tmp_path / "long.wav", "w+b") as file:
        out = open_writer(file, "wav", 48000, 1, bits="float")
        for _ in range(blocks):
            out.write(block.T)
        out.close()
    with soundfile.SoundFile(tmp_path / "long.wav") as file:
        assert file.frames == blocks << 20
        file.seek((blocks - 1) << 20)
        assert np.array_equal(file.read(dtype="float32"), block[:, 0])


@pytest.mark.parametrize("extension", ("flac", "ogg", "mp3"))
def test_other_formats_are_written(tmp_path, extension):
    data, rate = soundfile.read(MUSIC, frames=88200, dtype="float32")
    path = tmp_path / f"out.{extension}"
    with open(path, "w+b") as file:
        writer = open_writer(file, extension, rate, 2)
        for start in range(0, len(data), 10000):
            writer.write(data[start : start + 10000].T)
        writer.close()
    decoded, _ = soundfile.read(path, dtype="float32")
    assert len(decoded) == len(data)
    assert np.corrcoef(decoded[:, 0], data[:, 0])[0, 1] > 0.99


def test_formats_that_cannot_be_written():
    for extension, bits in (("m4a", None), ("", None), ("flac", "float"), ("mp3", "16"), ("ogg", "24")):
        with pytest.raises(AudioError):
            check_output_format(extension, bits)
    with pytest.raises(AudioError, match="cannot write mp3"):
        open_writer(io.BytesIO(), "mp3", 96000, 2)


def test_raw_pcm():
    samples = noise(1000, 2)
    for name in FORMATS:
        data = encode_pcm(samples.T, name)
        decoded, rate, known = read_all(as_pipe(data), RawFormat(name, 8000, 2))
        assert (rate, known) == (8000, None)
        np.testing.assert_allclose(decoded, samples, atol=1.01 / 128 if name == "u8" else 1e-4)
    with pytest.raises(AudioError, match="middle of a sample"):
        read_all(io.BytesIO(b"abc"), RawFormat("s16le", 8000, 1))


def test_ogg_above_its_highest_rate_is_an_error():
    with pytest.raises(AudioError, match="ogg at 250000 Hz"):
        open_writer(io.BytesIO(), "ogg", 250_000, 1)
