"""Audio is read whole, or there is an error with the time: joined files, chains, missing counts, cut files."""

import io
import os
import struct

import av
import numpy as np
import pytest
import soundfile
from conftest import TINY, VOICE, noise
from support.command import check, ecdc
from test_audio import as_pipe, read_all

import ecdc as library
from ecdc.audio.wav import wav_header
from ecdc.errors import AudioError

RATE = 16000
SECONDS = 3


def sound(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    data, _ = soundfile.read(VOICE, dtype="float32")
    return np.resize(data, round(seconds * rate))


def encoded(extension: str, data: np.ndarray, rate: int = RATE, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, data, rate, format=extension.upper(), subtype=subtype)
    return file.getvalue()


def mp3(data: np.ndarray, form: str = "mp3", **options: str) -> bytes:
    """By FFmpeg: without counts, or in another container."""
    file = io.BytesIO()
    with av.open(file, "w", format=form, options={"write_xing": "0"} if form == "mp3" else {}) as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono", options=options)
        frame = av.AudioFrame.from_ndarray(data[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = RATE
        fifo = av.AudioFifo()
        fifo.write(frame)
        while part := fifo.read(stream.frame_size or 576, partial=True):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def length_of(data: bytes, **options) -> int:
    """Samples that come, the same from a file as from a pipe, and as many as were promised."""
    samples, _rate, promised = read_all(io.BytesIO(data), **options)
    piped, _rate, piped_promised = read_all(as_pipe(data), **options)
    np.testing.assert_array_equal(samples, piped)
    assert promised == piped_promised and promised in (None, len(samples))
    return len(samples)


def error_of(data: bytes) -> str:
    with pytest.raises(AudioError) as error:
        read_all(io.BytesIO(data))
    return str(error.value)


@pytest.mark.parametrize("options", ({"b": "48000"}, {"global_quality": "600", "flags": "+qscale"}))
def test_mp3_without_counts_is_read_to_its_end(options):
    data = mp3(sound(), **options)
    frames = length_of(data)
    # The encoder's delay, and what fills the last frame, are not marked in such a file.
    assert SECONDS * RATE <= frames <= SECONDS * RATE + 3 * 1152
    joined = length_of(data + data)
    assert joined == 2 * frames


def test_mp3_that_says_its_length_has_it():
    data = encoded("mp3", sound())
    assert length_of(data) == len(soundfile.read(io.BytesIO(data))[0])
    assert length_of(data + data) == 2 * length_of(data)


def test_mp3_in_wav():
    assert SECONDS * RATE <= length_of(mp3(sound(), "wav")) <= SECONDS * RATE + 3 * 1152


@pytest.mark.parametrize("extension, subtype", (("ogg", "VORBIS"), ("ogg", "OPUS"), ("flac", "PCM_16")))
def test_chains_are_read_to_their_end(extension, subtype):
    links = [encoded(extension, sound(seconds), subtype=subtype) for seconds in (2, 1, 0.5)]
    parts = [soundfile.read(io.BytesIO(link), dtype="float32")[0] for link in links]
    samples, rate, _ = read_all(io.BytesIO(b"".join(links)))
    np.testing.assert_array_equal(samples[:, 0], np.concatenate(parts))
    assert rate == RATE and length_of(b"".join(links)) == 3.5 * RATE


def test_a_change_of_rate_is_an_error_with_its_time():
    changed = encoded("flac", sound(2), subtype="PCM_16") + encoded("flac", sound(1), 22050, "PCM_16")
    assert "from 16000 Hz and 1 channel(s) to 22050 Hz and 1 at 2.00 s" in error_of(changed)


CUT = (
    ("aiff", "PCM_16"),
    ("w64", "PCM_16"),
    ("au", "PCM_16"),
    ("caf", "PCM_16"),
    ("wav", "ALAW"),
    ("wav", "IMA_ADPCM"),
)


@pytest.mark.parametrize(
    "extension, subtype", (*CUT, ("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", None), ("flac", "PCM_16"))
)
def test_a_cut_file_is_an_error(extension, subtype):
    data = encoded(extension, sound(), subtype=subtype)
    whole = length_of(data)
    cut = data[: len(data) * 6 // 10]
    message = error_of(cut)
    if extension not in ("caf", "flac"):  # libsndfile opens no such CAF; of FLAC it says itself that it ends
        assert message.startswith("cut off")
        samples = len(read_all(io.BytesIO(cut), ignore_length=True)[0])
        assert 0.2 * whole < samples < 0.8 * whole
        assert f"{samples / RATE:.2f} s" in message


def test_flac_of_unknown_length():
    data = bytearray(encoded("flac", sound(), subtype="PCM_16"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert length_of(bytes(data)) == SECONDS * RATE


def chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)


def info(text: bytes) -> bytes:
    return chunk(b"LIST", b"INFO" + chunk(b"INAM", text))


def wav(samples: int, behind: bytes = b"", form: bytes = b"RIFF") -> bytes:
    data = (noise(samples)[:, 0] * 32767).astype("<i2").tobytes()
    body = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)) + chunk(b"data", data) + behind
    return form + len(body).to_bytes(4, "little") + body


def test_tags_behind_the_audio_are_kept(tmp_path):
    data = wav(RATE, info("Höhe".encode()))
    (tmp_path / "in.wav").write_bytes(data)
    check(ecdc("compress", "-m", TINY, "-b", "3", tmp_path / "in.wav", tmp_path / "file.ecdc"))
    piped = check(ecdc("compress", "-m", TINY, "-b", "3", "-", "-", input=data)).stdout
    for stream in (tmp_path / "file.ecdc", io.BytesIO(piped)):
        found = library.info(stream)
        assert found.tags == {"title": "Höhe"} and found.samples == RATE
    told = check(ecdc("compress", "-m", TINY, "-b", "3", "--tag", "TITLE=", "-", "-", input=data)).stdout
    assert library.info(io.BytesIO(told)).tags == {}
    (tmp_path / "late.ecdc").write_bytes(piped)
    check(ecdc("repair", "-m", TINY, tmp_path / "late.ecdc", tmp_path / "repaired.ecdc"))
    assert library.info(tmp_path / "repaired.ecdc").tags == {"title": "Höhe"}


def test_latin_1_is_read_as_such():
    with library_reader(wav(100, info("Höhe".encode("latin-1")))) as reader:
        assert reader.tags == {"title": "Höhe"}


def library_reader(data: bytes):
    from ecdc.audio.reader import open_audio

    return open_audio(io.BytesIO(data))


def test_an_empty_data_chunk_is_not_what_follows():
    data = wav(0, info(b"no sound"))
    assert read_all(io.BytesIO(data))[0] is None
    assert read_all(as_pipe(data))[0] is None


def test_bw64_is_rf64():
    data = wav_header("s16le", RATE, 1, 3 << 30)
    assert data[:4] == b"RF64"
    plain = wav(500)
    assert length_of(b"BW64" + plain[4:]) == length_of(plain) == 500


def test_a_size_that_was_counted_beyond_4_gib(tmp_path):
    """A file with holes: 4 GiB of zeros and 1,000 bytes more, of which the header says 1,000."""
    path = tmp_path / "long.wav"
    header = bytearray(wav_header("s16le", RATE, 1, 500))
    path.write_bytes(header)
    os.truncate(path, len(header) + (1 << 32) + 1000)
    from ecdc.audio.reader import open_audio

    with open_audio(path) as reader:
        assert reader.samples == (1 << 31) + 500


def test_chunks_before_the_audio_take_linear_time_and_bounded_memory(tmp_path):
    import tracemalloc

    data = wav(1000)
    junk = data[:12] + chunk(b"JUNK", bytes(40 << 20)) + data[12:]
    tracemalloc.start()
    assert len(read_all(as_pipe(junk))[0]) == 1000
    assert tracemalloc.get_traced_memory()[1] < len(junk) + (8 << 20)
    tracemalloc.stop()


@pytest.mark.parametrize("rate", (1, 100, 999, 768_001, 10_000_000))
def test_rates_that_no_audio_has_are_refused(rate):
    with pytest.raises(AudioError, match="1000 to 768000"):
        library.write(io.BytesIO(), noise(100)[:, 0], rate)
