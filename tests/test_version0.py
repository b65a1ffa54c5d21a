"""Version 0: files of the official tool decode to its own result, and ours decode in it."""

import io
import json

import numpy as np
import pytest
import soundfile
import torch
from conftest import VOICE, check
from conftest import ecdc as command
from support.checkpoints import official_tool, save_official
from support.streams import assert_same_version_0

import ecdc
from ecdc.errors import BitstreamError, ModelError
from ecdc.models.importing import import_model

# 6720 and 13440 samples: the PyPI release cannot read what it writes itself.
LENGTHS = (1, 319, 6720, 13440, 24000, 47521, 100_003)
MISCOUNTED = (6720, 13440)


@pytest.fixture(scope="module", params=("encodec_24khz", "encodec_48khz"))
def models(request, tmp_path_factory):
    """The official model with random weights and language model, installed here as well."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECDC_HOME", str(folder / "home"))
        model, path, lm_path = save_official(folder, request.param, lm=True)
        import_model(path, lm=lm_path)
        model.set_target_bandwidth(6.0)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield model, ecdc.load_model(request.param)
        torch.set_num_threads(threads)


def wave_of(model, length: int) -> torch.Tensor:
    data, _ = soundfile.read(VOICE, dtype="float32")
    return torch.from_numpy(np.stack([np.roll(np.resize(data, length), 50 * c) for c in range(model.channels)]))


def pushed(data: bytes, sizes) -> np.ndarray:
    """Decoded from pieces of these sizes."""
    decompressor, blocks, position = ecdc.Decompressor(), [], 0
    for size in sizes:
        blocks += decompressor.push(data[position : position + size])
        position += size
    decompressor.close()
    return np.concatenate(blocks, axis=1)


@pytest.mark.parametrize("length", LENGTHS)
def test_official_files_decode_to_the_official_result(models, length):
    model, codec = models
    wave = wave_of(model, length)
    data = official_tool(model).compress(model, wave)
    with torch.no_grad():
        expected = model.decode(model.encode(wave[None]))[0, :, :length].numpy()
    ours = pushed(data, [len(data)])
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)
    if length not in MISCOUNTED:
        theirs, rate = official_tool(model).decompress(data)
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-4)
        assert rate == codec.config.sample_rate
    assert np.array_equal(pushed(data, [1] * 200 + [997] * (len(data) // 997 + 1)), ours)
    info = ecdc.info(io.BytesIO(data))
    assert (info.version, info.samples, info.samplerate, info.codebooks) == (
        0,
        length,
        codec.config.sample_rate,
        codec.config.codebooks_for(6.0),
    )


@pytest.mark.parametrize("length", (1, 6720, 30_000))
def test_official_files_with_language_model(models, length):
    model, _ = models
    wave = wave_of(model, length)
    data = official_tool(model).compress(model, wave, use_lm=True)
    plain = official_tool(model).compress(model, wave)
    ours = pushed(data, [len(data)])
    assert np.array_equal(ours, pushed(plain, [len(plain)]))
    assert np.array_equal(ours, pushed(data, [1] * len(data)))
    info = ecdc.info(io.BytesIO(data))
    assert (info.entropy, info.samples, info.bytes) == ("language model", length, len(data))


@pytest.mark.parametrize("known", (True, False))
@pytest.mark.parametrize("length", LENGTHS)
def test_ours_are_the_official_bytes(models, length, known):
    model, codec = models
    wave = wave_of(model, length)
    compressor = ecdc.Compressor(
        codec, codec.config.sample_rate, model.channels, 6.0, version=0, samples=length if known else None
    )
    data = b"".join([compressor.push(part) for part in np.array_split(wave.numpy(), 3, axis=1)]) + compressor.flush()
    assert_same_version_0(data, official_tool(model).compress(model, wave))


def test_at_every_bandwidth(models):
    model, codec = models
    wave = wave_of(model, 30_001)
    for bandwidth in codec.config.bandwidths:
        model.set_target_bandwidth(bandwidth)
        data = official_tool(model).compress(model, wave)
        compressor = ecdc.Compressor(codec, codec.config.sample_rate, model.channels, bandwidth, version=0)
        assert_same_version_0(compressor.push(wave.numpy()) + compressor.flush(), data)
        theirs, _ = official_tool(model).decompress(data)
        np.testing.assert_allclose(pushed(data, [len(data)]), theirs.numpy(), rtol=0, atol=1e-4)
    model.set_target_bandwidth(6.0)


def test_searched_codes_are_read_by_the_official_tool(models):
    model, codec = models
    wave, made = wave_of(model, 30_001), []
    for best in (False, True):
        compressor = ecdc.Compressor(codec, codec.config.sample_rate, model.channels, 6.0, version=0, best=best)
        made.append(compressor.push(wave.numpy()) + compressor.flush())
    nearest, searched = made
    assert len(nearest) == len(searched) and nearest != searched
    theirs, _ = official_tool(model).decompress(searched)
    np.testing.assert_allclose(pushed(searched, [len(searched)]), theirs.numpy(), rtol=0, atol=1e-4)


def test_command(models, tmp_path):
    """Another rate and other channels than the model's; from a file and a pipe; read by the official tool."""
    model, codec = models
    config = codec.config
    file, pipe, out = tmp_path / "file.ecdc", tmp_path / "pipe.ecdc", tmp_path / "out.wav"
    check(command("compress", VOICE, file, "-m", config.name, "--format", "0"))
    check(command("compress", "-", pipe, "-m", config.name, "--format", "0", input=VOICE.read_bytes()))
    assert file.read_bytes() == pipe.read_bytes()
    theirs, _ = official_tool(model).decompress(file.read_bytes())
    check(command("decompress", file, out, "--bits", "float"))
    ours, rate = soundfile.read(out, always_2d=True)
    assert rate == config.sample_rate
    np.testing.assert_allclose(ours.T, theirs.numpy(), rtol=0, atol=1e-4)
    check(command("test", file))
    described = check(command("info", file)).stdout.decode()
    assert "version 0" in described and config.name in described
    assert json.loads(check(command("info", "--json", file)).stdout)["version"] == 0
    raw = check(command("decompress", "-", "-", "--raw", "--format", "f32le", input=file.read_bytes())).stdout
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4"), ours.astype("<f4").reshape(-1))
    pcm = (np.zeros(9600, "<f4")).tobytes()
    check(
        command(
            "compress",
            "--raw",
            "--rate",
            "48000",
            "--channels",
            "1",
            "--format",
            "f32le",
            "--format",
            "0",
            "-m",
            config.name,
            "-",
            "-o",
            tmp_path / "raw.ecdc",
            input=pcm,
        )
    )
    assert ecdc.info(tmp_path / "raw.ecdc").samples == 9600 * config.sample_rate // 48000


def test_damage(models):
    model, _codec = models
    wave = wave_of(model, 20_000)
    tool = official_tool(model)
    plain, coded = tool.compress(model, wave), tool.compress(model, wave, use_lm=True)
    for data in (plain, coded):
        for cut in (3, 7, 8, 20, len(data) // 2, len(data) - 1):
            with pytest.raises(BitstreamError, match="cut off"):
                pushed(data, [cut])
        with pytest.raises(BitstreamError, match="data after the end"):
            pushed(data + b"\0", [len(data) + 1])
    header = json.loads(plain[9 : 9 + plain[8]])
    for key, value in (
        ("al", 0),
        ("al", -5),
        ("al", True),
        ("al", 1e3),
        ("al", "9"),
        ("nc", 0),
        ("nc", 33),
        ("nc", None),
        ("lm", 1),
        ("m", "encodec_16khz"),
        ("m", [1]),
    ):
        with pytest.raises(BitstreamError):
            pushed(_with_header({**header, key: value}), [1000])
    for fields in (b"{", b"[]", b"\xff\xfe", b"{}", b"5", b"null"):
        with pytest.raises(BitstreamError, match="not that of a version 0 file"):
            pushed(b"ECDC\0" + len(fields).to_bytes(4, "big") + fields, [100])
    with pytest.raises(BitstreamError, match="impossible length"):
        pushed(b"ECDC\0" + bytes([255] * 4), [9])
    for length in (20_320, 19_000):
        with pytest.raises(BitstreamError):
            pushed(_with_header({**header, "al": length}) + plain[9 + plain[8] :], [len(plain)])


def _with_header(fields: dict) -> bytes:
    packed = json.dumps(fields).encode()
    return b"ECDC\0" + len(packed).to_bytes(4, "big") + packed


def test_damaged_language_model_codes_do_not_hang(models):
    """They cannot be told from good ones, but for the end that does not fit."""
    model, _ = models
    data = official_tool(model).compress(model, wave_of(model, 8_000), use_lm=True)
    start = 9 + data[8] + 4
    found = 0
    for position in range(start, len(data), max(1, len(data) // 12)):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        try:
            pushed(bytes(damaged), [len(damaged)])
        except BitstreamError:
            found += 1
    assert found >= 6


def test_without_its_model(models, tmp_path, monkeypatch):
    model, codec = models
    data = official_tool(model).compress(model, wave_of(model, 2_000), use_lm=True)
    (tmp_path / "x.ecdc").write_bytes(data)
    (codec.folder / "float_lm.safetensors").rename(codec.folder / "gone")
    try:
        done = command("decompress", tmp_path / "x.ecdc", "-o", tmp_path / "x.wav")
        assert done.returncode == 1 and b"language model of" in done.stderr and b"models pull" in done.stderr
    finally:
        (codec.folder / "gone").rename(codec.folder / "float_lm.safetensors")
    monkeypatch.setenv("ECDC_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ModelError, match=f"official model {codec.config.name}.*ecdc models pull"):
        pushed(data, [len(data)])
    assert ecdc.info(tmp_path / "x.ecdc").samples == 2_000


def test_what_version_0_cannot_hold(models):
    _, codec = models
    with pytest.raises(ModelError, match="official models"):
        ecdc.Compressor(ecdc.load_model(), 24000, 1, version=0)
    compressor = ecdc.Compressor(codec, codec.config.sample_rate, codec.config.channels, version=0, tags={"a": "b"})
    with pytest.raises(BitstreamError, match="tags"):
        compressor.push(np.zeros((codec.config.channels, 10), np.float32))
