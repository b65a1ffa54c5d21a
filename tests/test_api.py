"""The Python interface, over every kind of input; streams pushed in any sizes."""

import io
import os
import threading

import numpy as np
import pytest
import soundfile
from conftest import GOLDEN, MUSIC, TINY, TINY_STEREO, VOICE, noise, si_snr

import ecdc
from ecdc.codec.config import CodecConfig
from ecdc.models import bundled_models


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    path = tmp_path_factory.mktemp("api") / "music.ecdc"
    data, rate = soundfile.read(MUSIC)
    ecdc.write(path, data, rate)
    return path


@pytest.fixture(scope="module")
def whole(packed):
    return ecdc.read(packed)[0]


@pytest.fixture(params=("str", "path", "file", "bytes", "pipe"))
def source(request, packed):
    if request.param in ("str", "path"):
        yield packed if request.param == "path" else str(packed)
    elif request.param == "bytes":
        yield io.BytesIO(packed.read_bytes())
    elif request.param == "file":
        with open(packed, "rb") as file:
            yield file
    else:
        reading, writing = os.pipe()
        threading.Thread(target=lambda: os.fdopen(writing, "wb").write(packed.read_bytes()), daemon=True).start()
        with os.fdopen(reading, "rb") as file:
            yield file


def test_read_every_kind_of_input(source, whole):
    data, rate = ecdc.read(source)
    original, _ = soundfile.read(MUSIC)
    assert data.dtype == np.float32 and data.shape == original.shape and rate == 44100
    np.testing.assert_array_equal(data, whole)


def test_info_of_every_kind_of_input(source):
    info = ecdc.info(source)
    assert (info.model, info.samplerate, info.channels, info.samples) == ("ecdc_24khz", 44100, 2, 352800)
    assert info.duration == 8 and info.codebooks == 8 and info.kbps < 6.1
    assert info.entropy == "language model" and 0 < info.saved < 1


def test_parts(packed, whole):
    for start, frames in ((0, 100), (44100, 22050), (352799, 100), (352800, 5), (10**9, 5), (7, -1), (3, 0)):
        part, _ = ecdc.read(packed, start=start, frames=frames)
        # Decoded from a later packet on: the same but for float rounding.
        np.testing.assert_allclose(part, whole[start:][: None if frames == -1 else frames], rtol=0, atol=1e-6)


def test_shapes_and_types(tmp_path):
    path = tmp_path / "x.ecdc"
    voice, rate = soundfile.read(VOICE, dtype="int16", frames=8000)
    streams = []
    for data in (voice, voice[:, None], voice / 2**15, (voice / 2**15).astype("f4"), voice.astype("i4") * 65536):
        ecdc.write(path, data, rate)
        streams.append(path.read_bytes())
    assert len(set(streams)) == 1
    assert ecdc.read(path)[0].shape == (8000,)
    data, _ = ecdc.read(path, always_2d=True, dtype="float64")
    assert data.shape == (8000, 1) and data.dtype == np.float64
    data, native_rate = ecdc.read(path, native=True)
    assert native_rate == 24000 and data.shape == (12000,)
    with pytest.raises(ecdc.AudioError):
        ecdc.read(path, start=-1)


def test_write_to_a_file_object_and_tags(tmp_path):
    file = io.BytesIO()
    ecdc.write(file, noise(5000), 24000, 3, model=TINY, tags={"title": "ü"})
    ecdc.write(tmp_path / "x.ecdc", noise(5000), 24000, 3, model=TINY, tags={"title": "ü"})
    assert file.getvalue() == (tmp_path / "x.ecdc").read_bytes()
    assert ecdc.info(io.BytesIO(file.getvalue())).tags == {"title": "ü"}


def test_errors_name_the_file(tmp_path):
    (tmp_path / "bad.ecdc").write_bytes(b"nonsense")
    with pytest.raises(ecdc.BitstreamError, match="bad.ecdc: not an .ecdc file"):
        ecdc.read(tmp_path / "bad.ecdc")
    with pytest.raises(FileNotFoundError):
        ecdc.info(tmp_path / "missing.ecdc")
    with pytest.raises(ecdc.ModelError, match="5 kbps is not possible"):
        ecdc.write(tmp_path / "x.ecdc", noise(100), 24000, bandwidth=5)
    assert not (tmp_path / "x.ecdc").exists()


STREAMS = (
    ("mono", TINY, 24000, 1),
    ("resampled stereo", TINY, 44100, 2),
    ("segments", TINY_STEREO, 48000, 2),
    ("segments of mono", TINY_STEREO, 16000, 1),
)


@pytest.mark.parametrize("name, model, rate, channels", STREAMS, ids=[stream[0] for stream in STREAMS])
@pytest.mark.parametrize("length", (1, 319, 24_000, 96_161, 200_001))
def test_any_sizes_pushed_give_the_same(name, model, rate, channels, length):
    wave = noise(length, channels, seed=length).T
    streams, waves = [], []
    for seed in range(3):
        sizes = np.random.default_rng(seed)
        compressor = ecdc.Compressor(ecdc.load_model(model), rate, channels, 3, packet_seconds=1.5)
        data, position = b"", 0
        while position < length:
            size = int(sizes.integers(0, 30_000)) if seed else length
            data += compressor.push(wave[:, position : position + size])
            position += size
        streams.append(data + compressor.flush())
        decompressor, blocks, position = ecdc.Decompressor(model), [], 0
        while position < len(streams[0]):
            size = int(sizes.integers(0, 300)) if seed else len(streams[0])
            blocks += decompressor.push(streams[0][position : position + size])
            position += size
        decompressor.close()
        waves.append(np.concatenate(blocks, axis=1))
    assert streams[0] == streams[1] == streams[2]
    assert waves[0].shape == (channels, length)
    np.testing.assert_array_equal(waves[0], waves[1])
    np.testing.assert_array_equal(waves[0], waves[2])


def test_a_promised_length_is_kept():
    compressor = ecdc.Compressor(ecdc.load_model(TINY), 24000, 1, 3, samples=100)
    compressor.push(noise(99).T)
    with pytest.raises(ecdc.BitstreamError, match="promises 100 samples, 99 came"):
        compressor.flush()


@pytest.mark.parametrize("model", (TINY, TINY_STEREO), ids=("stream", "segments"))
@pytest.mark.parametrize("rate", (8000, 11025, 22050, 24000, 44100, 48000, 96000))
def test_exact_lengths_at_any_rate(rate, model):
    for length in (1, 2, rate // 75, rate // 10 + 1, rate + 7):
        file = io.BytesIO()
        ecdc.write(file, noise(length), rate, 3, model=model)
        data, out_rate = ecdc.read(io.BytesIO(file.getvalue()), model=model)
        assert (len(data), out_rate) == (length, rate)


def test_time_is_kept_through_the_bundled_model():
    """No delay: the decoded voice is nearest to the original unshifted."""
    data, rate = soundfile.read(VOICE, dtype="float32")
    file = io.BytesIO()
    ecdc.write(file, data, rate, 24)
    decoded, _ = ecdc.read(io.BytesIO(file.getvalue()))
    likeness = [si_snr(data[40:-40], decoded[40 + shift : len(data) - 40 + shift]) for shift in range(-40, 41)]
    assert int(np.argmax(likeness)) == 40


def test_every_bundled_model_loads():
    for name, config in bundled_models().items():
        assert isinstance(config, CodecConfig) and config.name == name
        model = ecdc.load_model(name)
        assert len(model.fingerprint) == 8 and ecdc.load_model(name) is model
    assert ecdc.load_model().config.sample_rate == 24000
    with pytest.raises(ecdc.ModelError, match="no model nonsense: neither a folder nor one of ecdc_24khz"):
        ecdc.load_model("nonsense")


def test_golden_files_have_info():
    assert ecdc.info(GOLDEN / "streaming.ecdc").streaming and not ecdc.info(GOLDEN / "chunked.ecdc").streaming


def test_bundled_files_stay_small():
    from ecdc.models.finding import BUNDLED

    files = [path for path in BUNDLED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
    for name in bundled_models():
        assert {path.name for path in files if path.parent.name == name} >= {"config.json", "weights.safetensors"}
    assert ecdc.load_model().folder / "exact_lm.safetensors" in files
