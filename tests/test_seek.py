"""Seeking: a stretch equals that of the whole, from files and pipes, in time that does not depend on where it is."""

import io
import os
import threading

import numpy as np
import pytest
import soundfile
import torch
from conftest import MUSIC, TINY, TINY_STEREO, VOICE, check, noise
from conftest import ecdc as command

import ecdc
from ecdc.bitstream import StreamParser
from ecdc.codec.codec import Codec
from ecdc.codec.config import CodecConfig
from ecdc.errors import BitstreamError
from ecdc.stream.stretch import Stretch, decoder_memory
from training.codec.export import save_model
from training.codec.initial import initialise

# The tiny models hold an LSTM, too, but a weak one.
CASES = {
    "mono": (TINY, 24000, 1),
    "resampled": (TINY, 44100, 2),
    "odd rate": (TINY, 16000, 1),
    "segments": (TINY_STEREO, 44100, 2),
}


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data

    read1 = read


@pytest.fixture(scope="module", params=CASES)
def packed(request):
    """(model, rate, bytes of 100 s, all of it decoded)."""
    model, rate, channels = CASES[request.param]
    wave = noise(100 * rate, channels) * np.abs(np.sin(np.arange(100 * rate) / rate))[:, None].astype(np.float32)
    file = io.BytesIO()
    ecdc.write(file, wave, rate, 3, model=model, lm=False, tags={"title": "x"})
    data = file.getvalue()
    whole, _ = ecdc.read(io.BytesIO(data), model=model, always_2d=True)
    return model, rate, data, whole


def without_index(data: bytes) -> bytes:
    """The same stream cut off before its index: the place must be found along the packets."""
    parser = StreamParser()
    ends = [parser.bytes for _ in parser.push(data)]
    return data[: ends[-3]]


@pytest.mark.parametrize(
    "start, length", ((0, 100), (1, 1), (12_345, 777), (30.0, 2.5), (77.3, 1.0), (99.9, 0.1), (61.7, None))
)
def test_a_stretch_is_that_of_the_whole(packed, start, length):
    model, rate, data, whole = packed
    seconds = isinstance(start, float)
    first = round(start * rate) if seconds else start
    frames = -1 if length is None else round(length * rate) if seconds else length
    expected = whole[first:] if length is None else whole[first : first + frames]
    part, _ = ecdc.read(io.BytesIO(data), frames, first, model=model, always_2d=True)
    assert part.shape == expected.shape
    level = np.sqrt((whole**2).mean())
    assert np.sqrt(((part - expected) ** 2).mean()) < 1e-3 * level
    if seconds and length is not None:
        decompressor = ecdc.Decompressor(model, stretch=Stretch(start, length))
        pushed = [
            block for index in range(0, len(data), 5000) for block in decompressor.push(data[index : index + 5000])
        ]
        np.testing.assert_array_equal(np.concatenate(pushed, axis=1).T, part)
        walked = np.concatenate(list(_unended(without_index(data), model, start, length)), axis=1).T
        np.testing.assert_array_equal(walked, part[: len(walked)])
        assert len(walked) == len(part) or start > 90


def _unended(data: bytes, model, start: float, length: float):
    from ecdc.stream.decompressor import decompress

    try:
        yield from decompress(io.BytesIO(data), ecdc.Decompressor(model, stretch=Stretch(start, length)))
    except BitstreamError:
        pass


@pytest.mark.parametrize("rate", (24000, 44100, 16000))
def test_without_lstm_a_stretch_is_exact(rate, tmp_path):
    torch.manual_seed(0)
    config = CodecConfig(
        name="short",
        n_filters=4,
        dimension=16,
        norm="none",
        pad_mode="constant",
        lstm_layers=0,
        bottleneck_layers=4,
        codebooks=4,
        codebook_size=64,
        bandwidths=(1.8,),
    )
    codec = Codec(config)
    initialise(codec)
    codec.quantizer.embed.normal_()
    save_model(tmp_path, config, codec.state_dict())
    file = io.BytesIO()
    ecdc.write(file, noise(40 * rate, 1), rate, 1.8, model=tmp_path)
    data = file.getvalue()
    whole, _ = ecdc.read(io.BytesIO(data), model=tmp_path)
    assert np.abs(np.diff(whole)).max() > 1e-3
    # The last stands as near behind a key packet as it may without the one before being needed.
    frames = 375 + decoder_memory(config) + 8
    for start in (5 * rate, 12_345, 5 * rate + 11_111, 27 * rate + 1, frames * config.hop_length * rate // 24000):
        part, _ = ecdc.read(io.BytesIO(data), rate, start, model=tmp_path)
        np.testing.assert_allclose(part, whole[start : start + rate], rtol=0, atol=1e-5 * np.abs(whole).max())


def test_what_is_before_is_not_read(packed):
    model, rate, data, _ = packed
    taken = []
    for start in (31, 70):
        file = Counting(data)
        ecdc.read(file, rate, start * rate, model=model)
        taken.append(file.taken)
    # The rest of the file comes in one piece that Python's readers take at once: count what lies before.
    assert taken[1] < taken[0] < len(data)


def test_damage_before_the_stretch_does_not_matter(packed):
    model, rate, data, whole = packed
    damaged = bytearray(data)
    damaged[len(data) // 10] ^= 1
    part, _ = ecdc.read(io.BytesIO(bytes(damaged)), rate, 60 * rate, model=model, always_2d=True)
    np.testing.assert_allclose(part, whole[60 * rate : 61 * rate], atol=1e-4)
    with pytest.raises(BitstreamError):
        ecdc.read(io.BytesIO(bytes(damaged)), rate, 9 * rate, model=model)


def test_with_the_language_model_and_in_a_live_stream(tmp_path):
    data, rate = soundfile.read(MUSIC)
    # Behind two key packets, of which the first is not needed.
    data, first = np.tile(data, (2, 1))[: 13 * rate], 11 * rate
    soundfile.write(tmp_path / "long.wav", data, rate)
    for options in ((), ("--live", "--packet", "0.5")):
        check(command("compress", tmp_path / "long.wav", "-f", "-o", tmp_path / "long.ecdc", *options))
        whole, _ = ecdc.read(tmp_path / "long.ecdc")
        part, _ = ecdc.read(tmp_path / "long.ecdc", rate, first)
        np.testing.assert_allclose(part, whole[first : first + rate], rtol=0, atol=1e-5 * np.abs(whole).max())
        reading, writing = os.pipe()
        threading.Thread(
            target=lambda end=writing: os.fdopen(end, "wb").write((tmp_path / "long.ecdc").read_bytes()), daemon=True
        ).start()
        with os.fdopen(reading, "rb") as file:
            np.testing.assert_array_equal(ecdc.read(file, rate, first)[0], part)


def test_command(tmp_path):
    check(command("compress", MUSIC, tmp_path / "m.ecdc", "--no-lm"))
    check(
        command(
            "decompress",
            tmp_path / "m.ecdc",
            tmp_path / "part.wav",
            "--start",
            "0:02.5",
            "--duration",
            "1500ms",
            "--bits",
            "float",
        )
    )
    part, _rate = soundfile.read(tmp_path / "part.wav")
    whole, _ = ecdc.read(tmp_path / "m.ecdc")
    np.testing.assert_allclose(part, whole[110250 : 110250 + 66150], atol=1e-6)
    piped = check(
        command(
            "decompress",
            "-",
            "-",
            "--start",
            "2.5",
            "--duration",
            "1.5s",
            "--bits",
            "float",
            input=(tmp_path / "m.ecdc").read_bytes(),
        )
    ).stdout
    assert piped == (tmp_path / "part.wav").read_bytes()
    late = command("decompress", tmp_path / "m.ecdc", tmp_path / "late.wav", "--start", "8.5")
    assert late.returncode == 1 and b"ends before 8.50 s" in late.stderr and not (tmp_path / "late.wav").exists()
    assert command("decompress", tmp_path / "m.ecdc", "--start", "-1", "-o", tmp_path / "x.wav").returncode == 2


def test_version_0(tmp_path, monkeypatch):
    from support.checkpoints import save_official

    from ecdc.models.importing import import_model

    monkeypatch.setenv("ECDC_HOME", str(tmp_path))
    for name in ("encodec_24khz", "encodec_48khz"):
        _, path, _ = save_official(tmp_path, name)
        import_model(path)
        check(command("compress", VOICE, "-f", "-o", tmp_path / "v.ecdc", "-m", name, "--format", "0"))
        whole, rate = ecdc.read(tmp_path / "v.ecdc", always_2d=True)
        part, _ = ecdc.read(tmp_path / "v.ecdc", rate, 5 * rate, always_2d=True)
        np.testing.assert_allclose(part, whole[5 * rate : 6 * rate], atol=1e-4)
