"""The manners of the Python interface: numbers, arrays and files of any kind, errors, other processes."""

import contextlib
import copy
import io
import pickle

import numpy as np
import pytest
import soundfile
import torch
from conftest import GOLDEN, TINY, TINY_STEREO, noise
from support.command import ecdc as command

import ecdc
from ecdc.models import load_model, registry


def written(data, samplerate, model=TINY, **options):
    memory = io.BytesIO()
    ecdc.write(memory, data, samplerate, bandwidth=3, model=model, **options)
    return memory.getvalue()


@pytest.mark.parametrize("rate", (44100.0, np.float64(44100), np.uint16(44100), np.int32(44100)))
def test_rates_of_any_type(rate):
    # 44100 does not survive being multiplied as uint16, nor 100,000 samples of it as int32.
    data = noise(100_000)
    assert written(data, rate) == written(data, 44100)


@pytest.mark.parametrize("rate", (44100.5, np.nan, np.inf, "44100", None, 0, -8000, [24000]))
def test_rates_that_are_none(rate):
    with pytest.raises(ecdc.AudioError, match="samplerate must be a positive whole number"):
        written(noise(100), rate)
    with pytest.raises(ecdc.AudioError, match="samplerate must be a positive whole number"):
        ecdc.Compressor(load_model(TINY), rate, 1, 3)


def test_parts_are_whole_numbers():
    with pytest.raises(ecdc.AudioError, match="whole numbers, not 0.5"):
        ecdc.read(GOLDEN / "chunked.ecdc", start=0.5, model=TINY)


def test_unsigned_bytes():
    data = np.random.default_rng(0).integers(0, 256, (4000, 1), np.uint8)
    assert written(data, 24000) == written((data.astype(np.float32) - 128) / 128, 24000)


def test_messages_name_options_on_the_command_line_only(tmp_path):
    soundfile.write(tmp_path / "six.wav", noise(100, 6), 24000)
    with pytest.raises(ecdc.AudioError, match="it has 6 channels, 2 are the most$"):
        written(noise(100, 6), 24000)
    done = command("compress", "six.wav", cwd=tmp_path)
    assert done.stderr == b"ecdc: six.wav: it has 6 channels, 2 are the most: --downmix averages them to mono\n"
    (tmp_path / "a.ecdc").write_bytes((GOLDEN / "chunked.ecdc").read_bytes())
    with pytest.raises(ecdc.ModelError) as caught:
        ecdc.read(tmp_path / "a.ecdc", model=TINY_STEREO)
    assert "--" not in str(caught.value)
    done = command("decompress", "-m", TINY_STEREO, "a.ecdc", cwd=tmp_path)
    assert done.stderr.endswith(b"pass the right model's folder with --model\n")


class Named:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_paths_and_files_of_any_kind(tmp_path):
    ecdc.write(Named(tmp_path / "a.ecdc"), noise(100), 24000, bandwidth=3, model=TINY)
    assert ecdc.info(Named(tmp_path / "a.ecdc")).samples == 100
    for file in (io.StringIO(), open(tmp_path / "a.ecdc")):
        with file, pytest.raises(ecdc.EcdcError, match="not a file object in text mode"):
            ecdc.read(file, model=TINY)
    with open(tmp_path / "b", "w") as file, pytest.raises(ecdc.EcdcError, match="text mode"):
        ecdc.write(file, noise(100), 24000, bandwidth=3, model=TINY)
    with pytest.raises(ecdc.EcdcError, match="not NoneType"):
        ecdc.info(None)


def test_codecs_go_to_workers_by_their_folder():
    codec = load_model(TINY)
    assert len(pickle.dumps(codec)) < 1000 and pickle.loads(pickle.dumps(codec)).fingerprint == codec.fingerprint
    assert copy.deepcopy(codec) is not codec
    assert copy.deepcopy(codec).quantizer is not codec.quantizer
    codec = copy.deepcopy(codec)
    codec.folder = None
    assert torch.equal(
        pickle.loads(pickle.dumps(codec)).encode(torch.ones(1, 1, 999))[0].codes,
        codec.encode(torch.ones(1, 1, 999))[0].codes,
    )


def test_compressors_do_not_go_to_workers():
    for thing in (ecdc.Compressor(load_model(TINY), 24000, 1, 3), ecdc.Decompressor(TINY)):
        with pytest.raises(TypeError, match="make one in each process"):
            pickle.dumps(thing)


@contextlib.contextmanager
def asked_for(precision):
    if precision == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            yield
        return
    torch.set_default_dtype(getattr(torch, precision))
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


ORDINARY = {}


def results(model):
    """Of all that computes with tensors: streams, decoded samples, those of damaged ones."""
    data = noise(60_000, load_model(model).config.channels)
    compressor = ecdc.Compressor(load_model(model), 44100, data.shape[1], 3, packet_seconds=0.3, best=True)
    stream = compressor.push(data.T) + compressor.flush()
    broken = bytearray(stream)
    broken[len(stream) // 2] ^= 1
    found = [ecdc.read(io.BytesIO(stream), model=model)[0]]
    recovering = ecdc.Decompressor(model, recover=True)
    return [stream, *found, *recovering.push(bytes(broken)), *recovering.finish()]


@pytest.mark.parametrize("model", (TINY, TINY_STEREO))
@pytest.mark.parametrize("precision", ("autocast", "float64", "float16"))
def test_precision_of_the_caller_changes_nothing(model, precision):
    if model not in ORDINARY:
        ORDINARY[model] = results(model)
    registry._load.cache_clear()
    with asked_for(precision):
        given = results(model)
    for expected, found in zip(ORDINARY[model], given, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert isinstance(found, bytes) or found.dtype == np.float32
