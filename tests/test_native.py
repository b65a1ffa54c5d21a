"""The native library equals PyTorch: every configuration, every build, any chunks; and nothing imports PyTorch."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from conftest import MUSIC, ROOT, TINY, TINY_STEREO, VOICE
from support.command import check, ecdc

from ecdc.codec.beam import beam_search
from ecdc.codec.codec import Codec
from ecdc.codec.config import CodecConfig
from ecdc.codec.streaming import decoder_stream, encoder_stream
from ecdc.models import load_engine, load_model
from ecdc.native import library
from ecdc.native.library import VARIANTS, variants
from ecdc.stream.compressor import Compressor

pytestmark = pytest.mark.skipif(not variants(), reason="no native library: there was no compiler at installation")

TINIEST = CodecConfig(n_filters=4, dimension=8, ratios=(4, 2), codebooks=4, codebook_size=16, lstm_layers=1)
SEGMENTED = {"causal": False, "segment": 1.0, "norm": "time_group_norm"}
# Every kind of layer and padding, and sizes that no vector's width divides.
SHAPES = {
    "reflecting": {},
    "padded with zeros": {"pad_mode": "constant", "lstm_layers": 0, "bottleneck_layers": 3},
    "looking ahead": {"causal": False},
    "looking ahead, zeros": {"causal": False, "pad_mode": "constant", "lstm_layers": 2},
    "trimmed on both sides": {"trim_right_ratio": 0.5},
    "true skips, dilated": {"true_skip": True, "n_residual_layers": 3, "residual_kernel_size": 5},
    "norms": {**SEGMENTED, "channels": 2},
    "norms, true skips": {**SEGMENTED, "channels": 2, "true_skip": True},
    "odd sizes": {"n_filters": 5, "dimension": 7, "channels": 2, "codebook_size": 32},
    "wide": {"n_filters": 24, "dimension": 40, "ratios": (3, 5), "kernel_size": 3, "codebook_size": 1024},
}
LENGTHS = (1, 2, 5, 17, 40, 401)


def random_codec(config: CodecConfig) -> Codec:
    torch.manual_seed(0)
    codec = Codec(config)
    for parameter in codec.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5 / max(1, parameter[0].numel()) ** 0.5)
    torch.nn.init.normal_(codec.quantizer.embed, 0, 0.3)
    return codec


def cases() -> dict[str, tuple[Codec, np.ndarray]]:
    codecs = {name: random_codec(dataclasses.replace(TINIEST, **changes)) for name, changes in SHAPES.items()}
    random = np.random.default_rng(0)
    return {
        f"{name} {length}": (codec, random.standard_normal((codec.config.channels, length)).astype(np.float32))
        for name, codec in codecs.items()
        for length in LENGTHS
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The cases in a file, and what PyTorch makes of them."""
    given, expected, random = {}, {}, np.random.default_rng(1)
    for name, (codec, wave) in cases().items():
        config = codec.config
        with torch.inference_mode():
            latents = codec.encoder(torch.from_numpy(wave)[None])
            decoded = codec.decoder(latents)[0].numpy()
            frames = latents.shape[2]
            bits = random.uniform(0, 12, (frames, config.codebooks, config.codebook_size)).astype(np.float32)
            prices = random.uniform(0, 0.1, frames).astype(np.float32)
            codes = codec.quantizer.encode(latents, config.codebooks)
            costs = torch.from_numpy(bits * prices[:, None, None])
            expected[name] = {
                "latents": latents[0].numpy(),
                "wave": decoded,
                "codes": codes[0].numpy(),
                "dequantized": codec.quantizer.decode(codes)[0].numpy(),
                "beam": beam_search(codec.quantizer.embed, latents[0].T, 5, costs).numpy().T,
                "plain beam": beam_search(codec.quantizer.embed, latents[0].T, 3).numpy().T,
            }
        arrays = {key: value.numpy() for key, value in codec.state_dict().items()}
        arrays |= {"latents": latents[0].numpy(), "bits": bits, "prices": prices, "input": wave}
        arrays["config"] = np.array(json.dumps(dataclasses.asdict(config)))
        given |= {f"{name}|{key}": value for key, value in arrays.items()}
    path = tmp_path_factory.mktemp("native") / "cases.npz"
    np.savez(path, **given)
    return path, expected


def computed(path, variant: str) -> dict[str, np.ndarray]:
    out = path.with_name(f"{variant}.npz")
    environment = {**os.environ, "ECDC_NATIVE": variant, "PYTHONPATH": str(ROOT)}
    script = ROOT / "tests" / "support" / "native_check.py"
    done = subprocess.run([sys.executable, script, path, out], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return dict(np.load(out))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_build_equals_pytorch(reference, variant):
    if variant not in variants():
        pytest.skip(f"this processor does not run {variant}")
    path, expected = reference
    found = computed(path, variant)
    for name, wanted in expected.items():
        for key, value in wanted.items():
            ours = found[f"{name}|{key}"]
            if key in ("latents", "wave", "dequantized"):
                np.testing.assert_allclose(ours, value, rtol=0, atol=2e-5, err_msg=f"{name}, {key}")
            else:
                np.testing.assert_array_equal(ours, value, f"{name}, {key}")


def test_vectors_of_any_width_give_the_same_bits(reference):
    if "v4" not in variants():
        pytest.skip("this processor has no AVX-512")
    narrow, wide = (computed(reference[0], variant) for variant in ("v3", "v4"))
    assert narrow.keys() == wide.keys()
    for key, value in narrow.items():
        np.testing.assert_array_equal(value, wide[key], key)


@pytest.mark.parametrize("name, clip", (("ecdc_24khz", VOICE), ("ecdc_48khz", MUSIC)))
def test_bundled_models_give_the_same_codes_and_waves(name, clip):
    codec, native = load_model(name), load_engine(name)
    assert type(native) is not type(codec) and native.fingerprint == codec.fingerprint
    wave, _rate = soundfile.read(clip, dtype="float32", frames=2 * codec.config.sample_rate, always_2d=True)
    wave = np.repeat(wave[:, :1], codec.config.channels, axis=1).T
    streams = [encoder_stream(engine, codec.config.codebooks, 75) for engine in (codec, native)]
    expected, found = ([*stream.push(wave), *stream.flush()] for stream in streams)
    differing = [(a.codes != b.codes).mean() for a, b in zip(expected, found, strict=True)]
    assert max(differing) <= 0.002  # float ties, which the codes after them follow
    waves = [
        np.concatenate([*(part for block in expected for part in stream.push(block)), stream.flush()], axis=1)
        for stream in map(decoder_stream, (codec, native))
    ]
    np.testing.assert_allclose(waves[1], waves[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("folder, channels", ((TINY, 1), (TINY_STEREO, 2)))
def test_streams_of_both_engines_are_the_same_bytes(folder, channels):
    wave = np.random.default_rng(2).standard_normal((channels, 30_000)).astype(np.float32) * 0.1
    streams = []
    for engine in (load_model(folder), load_engine(folder)):
        compressor = Compressor(engine, engine.config.sample_rate, channels, 3)
        streams.append(compressor.push(wave) + compressor.flush())
    assert streams[0] == streams[1]


WITHOUT_TORCH = """
import sys
from ecdc.cli import run
from ecdc.cli.main import main
sys.argv = ["ecdc", *{arguments!r}]
try:
    run()
except SystemExit as done:
    assert not done.code, done.code
assert "torch" not in sys.modules, "torch was imported"
"""


def test_no_command_on_the_way_of_audio_imports_pytorch(tmp_path):
    stream, back = tmp_path / "voice.ecdc", tmp_path / "voice.wav"
    for arguments in (["compress", VOICE, stream], ["test", stream], ["info", stream], ["decompress", stream, back]):
        script = WITHOUT_TORCH.format(arguments=list(map(str, arguments)))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr.decode()
    assert soundfile.info(back).frames == soundfile.info(VOICE).frames


def test_a_build_can_be_chosen_or_none(tmp_path):
    stream = tmp_path / "voice.ecdc"
    check(ecdc("compress", "--no-lm", VOICE, stream))
    for chosen in ("0", variants()[0]):
        environment = {**os.environ, "ECDC_NATIVE": chosen}
        command = [sys.executable, "-m", "ecdc", "test", stream]
        assert subprocess.run(command, env=environment, capture_output=True, cwd=ROOT).returncode == 0
    environment = {**os.environ, "ECDC_NATIVE": "v9"}
    done = subprocess.run(command, env=environment, capture_output=True, cwd=ROOT)
    assert done.returncode == 1 and b"ECDC_NATIVE is 'v9'" in done.stderr and done.stderr.count(b"\n") == 1


def test_a_library_for_another_machine_is_none(tmp_path, monkeypatch):
    """Folders are shared between machines, by containers say: PyTorch computes there."""
    path = tmp_path / "libecdc.so"
    path.write_bytes(b"\x7fELF" + bytes(100))
    monkeypatch.setattr(library, "_path", lambda variant: path)
    library.variants.cache_clear()
    try:
        assert library.variants() == ()
    finally:
        library.variants.cache_clear()
