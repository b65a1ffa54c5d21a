"""Official checkpoints: imported from every layout, found by every name, equal to the packages that made them."""

import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import VOICE, check
from conftest import ecdc as command
from safetensors.torch import load_file, save_file
from support.checkpoints import OFFICIAL, official_checkpoint, save_official, transformers_checkpoint
from test_codec import assert_same_codes

import ecdc
from ecdc.codec.segments import Segmenter
from ecdc.errors import EcdcError, ModelError
from ecdc.models.importing import import_model
from ecdc.models.names import official_state
from ecdc.models.store import installed

LENGTHS = (1, 319, 320, 480, 2240, 6720, 24000, 47521, 48000, 100_003)

pytestmark = pytest.mark.usefixtures("home")


def audio(config, length: int) -> torch.Tensor:
    """`[1, C, T]` of the voice, the channels shifted against each other."""
    data, _ = soundfile.read(VOICE, dtype="float32")
    return torch.from_numpy(np.stack([np.roll(np.resize(data, length), 100 * c) for c in range(config.channels)]))[None]


def parametrized(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): tensor
        for name, tensor in state.items()
    }


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_package_is_the_oracle(name, tmp_path):
    torch.manual_seed(0)
    model = official_checkpoint(OFFICIAL[name])
    torch.save(model.state_dict(), tmp_path / f"{name}.th")
    import_model(tmp_path / f"{name}.th")
    codec = ecdc.load_model(name)
    for bandwidth in codec.config.bandwidths:
        model.set_target_bandwidth(bandwidth)
        for length in LENGTHS if bandwidth == codec.config.bandwidths[0] else (24000,):
            wave = audio(codec.config, length)
            segmenter = Segmenter(codec.config)
            with torch.no_grad():
                expected = model.encode(wave)
                encoded = codec.encode(wave, codec.config.codebooks_for(bandwidth))
                for part, (codes, scale), ours in zip(
                    map(torch.from_numpy, [*segmenter.push(wave.numpy()), *segmenter.flush()]),
                    expected,
                    encoded,
                    strict=True,
                ):
                    assert_same_codes(codec, part if scale is None else part / scale, ours.codes[0], codes[0])
                same = [part._replace(codes=codes) for part, (codes, _) in zip(encoded, expected)]
                decoded = model.decode(expected)
            torch.testing.assert_close(codec.decode(same), decoded, rtol=0, atol=1e-4)
            assert length < 2000 or decoded.std() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ("encodec_24khz", "encodec_48khz"))
def test_a_minute_is_the_official_minute(name, tmp_path):
    """Through streams and the container, in memory that does not hold the minute, against one official pass."""
    _, path, _ = save_official(tmp_path, name)
    import_model(path)
    model, config = official_checkpoint(OFFICIAL[name]), OFFICIAL[name]
    wave = audio(config, 60 * config.sample_rate + 77)
    ecdc.write(tmp_path / "minute.ecdc", wave[0].T.numpy(), config.sample_rate, 12, model=name)
    ours, _ = ecdc.read(tmp_path / "minute.ecdc", always_2d=True)
    model.set_target_bandwidth(12.0)
    with torch.no_grad():
        expected = model.decode(model.encode(wave))[0, :, : wave.shape[2]].numpy().T
    # Where an exact tie of two codes fell otherwise, the sound differs for some frames.
    differing = (np.abs(ours - expected) > 1e-4).any(1).mean()
    assert ours.shape == expected.shape and differing < 0.01


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("form", ("safetensors", "bin"))
def test_transformers_is_the_oracle(name, form, tmp_path):
    model = transformers_checkpoint(OFFICIAL[name])
    folder = tmp_path / name
    model.save_pretrained(folder)
    if form == "bin":
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    codec = ecdc.load_model(folder)
    assert codec.config == OFFICIAL[name]
    import_model(folder)
    assert ecdc.load_model(name).fingerprint == codec.fingerprint
    if name == "encodec_32khz":
        assert ecdc.load_model(sample_rate=32000).fingerprint == codec.fingerprint
    for length in (1, 6720, 47521, 100_003):
        wave = audio(codec.config, length)
        with torch.no_grad():
            theirs = model.encode(wave, bandwidth=codec.config.bandwidths[-1])
            encoded = codec.encode(wave)
            segmenter, expected = Segmenter(codec.config), list(theirs.audio_codes)
            if theirs.last_frame_pad_length:
                expected[-1] = expected[-1][..., : -theirs.last_frame_pad_length]
            for part, codes, scale, ours in zip(
                map(torch.from_numpy, [*segmenter.push(wave.numpy()), *segmenter.flush()]),
                expected,
                theirs.audio_scales,
                encoded,
                strict=True,
            ):
                assert_same_codes(codec, part if scale is None else part / scale, ours.codes[0], codes[0])
            same = [part._replace(codes=codes) for part, codes in zip(encoded, expected)]
            decoded = model.decode(
                theirs.audio_codes, theirs.audio_scales, last_frame_pad_length=theirs.last_frame_pad_length
            )[0]
        torch.testing.assert_close(codec.decode(same), decoded, rtol=0, atol=1e-4)


def test_every_layout_is_the_same_model(tmp_path):
    """Original names, new weight norm, a training checkpoint, transformers' names: one fingerprint."""
    config = OFFICIAL["encodec_24khz"]
    model = official_checkpoint(config)
    state = model.state_dict()
    theirs = transformers_checkpoint(config)
    theirs_official = official_state(theirs.state_dict(), config)
    assert set(theirs_official) == set(official_state(state, config))
    theirs.load_state_dict({**theirs.state_dict(), **_as_transformers(official_state(state, config), theirs)})
    theirs.save_pretrained(tmp_path / "transformers")
    layouts = {"original": state, "parametrized": parametrized(state), "training": {"best_state": state, "epoch": 3}}
    for name, content in layouts.items():
        torch.save(content, tmp_path / f"{name}.th")
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / "tensors.safetensors")
    paths = [
        *(tmp_path / f"{name}.th" for name in layouts),
        tmp_path / "tensors.safetensors",
        tmp_path / "transformers",
    ]
    fingerprints = {ecdc.load_model(import_model(path)).fingerprint for path in paths}
    assert len(fingerprints) == 1
    assert set(installed()) == {"original", "parametrized", "training", "tensors", "transformers"}


def _as_transformers(official: dict[str, torch.Tensor], model) -> dict[str, torch.Tensor]:
    """The names that transformers has for parameters with these official ones, found by trying."""
    names = {}
    for theirs in model.state_dict():
        if not theirs.endswith(("inited", "cluster_size", "embed_avg")):
            (name,) = official_state(
                {"encoder.layers.0.conv.bias": torch.zeros(1), theirs: torch.zeros(1)}, OFFICIAL["encodec_24khz"]
            ).keys() - {"encoder.model.0.conv.conv.bias"} or ("encoder.model.0.conv.conv.bias",)
            names[theirs] = official[name]
    return names


def test_padding_never_leaks_into_codes(tmp_path):
    for name in ("encodec_24khz", "encodec_48khz"):
        folder = tmp_path / name
        transformers_checkpoint(OFFICIAL[name]).save_pretrained(folder)
        codec = ecdc.load_model(folder)
        lengths = (30_000, 1, 95_041, 48_000)
        waves = [audio(codec.config, length) for length in lengths]
        batch = torch.full((len(lengths), codec.config.channels, max(lengths)), 0.7)
        mask = torch.zeros(len(lengths), max(lengths))
        for row, wave in enumerate(waves):
            batch[row, :, : wave.shape[2]], mask[row, : wave.shape[2]] = wave[0], 1
        together = codec.encode(batch, 4, padding_mask=mask)
        decoded = codec.decode(together)
        for row, wave in enumerate(waves):
            alone = codec.encode(wave, 4)
            for index, part in enumerate(together):
                frames = int(part.frames[row])
                expected = alone[index].codes[0] if index < len(alone) else part.codes[row, :, :0]
                assert torch.equal(part.codes[row, :, :frames], expected)
                assert not part.codes[row, :, frames:].any()
            own = codec.decode(alone)[0]
            assert torch.equal(decoded[row, :, : own.shape[1]], own)
            assert not decoded[row, :, own.shape[1] :].any()
    for wrong in (mask.flip(1), mask[:, :-1], torch.zeros_like(mask)):
        with pytest.raises(EcdcError):
            codec.encode(batch, 4, padding_mask=wrong)


def test_hub_cache_is_found_without_network(tmp_path):
    transformers_checkpoint(OFFICIAL["encodec_24khz"]).save_pretrained(tmp_path / "saved")
    repository = tmp_path / "hub" / "models--facebook--encodec_24khz"
    (repository / "snapshots").mkdir(parents=True)
    with pytest.raises(ModelError, match="pull encodec_24khz"):
        ecdc.load_model("encodec_24khz")
    shutil.copytree(tmp_path / "saved", repository / "snapshots" / "0123abcd")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd\n")
    codec = ecdc.load_model("facebook/encodec_24khz")
    assert codec.config.name == "encodec_24khz" and codec is ecdc.load_model("encodec_24khz")
    done = command("compress", VOICE, "-m", "facebook/encodec_24khz", "-o", tmp_path / "v.ecdc")
    check(done)
    check(command("test", tmp_path / "v.ecdc"))
    assert "encodec_24khz" in check(command("models", "list")).stdout.decode()


def test_commands(tmp_path, home):
    _model, path, lm_path = save_official(tmp_path, "encodec_48khz", lm=True)
    assert b"installed in" in check(command("models", "import", path)).stderr
    again = command("models", "import", path)
    assert again.returncode == 1 and b"installed already" in again.stderr
    check(command("models", "import", lm_path, "--name", "encodec_48khz"))
    check(command("models", "import", path, "--name", "other"))
    listing = check(command("models", "list")).stdout.decode()
    assert f"encodec_48khz  48 kHz  2         3 6 12 24      yes             {home}" in listing
    shown = check(command("models", "show", "encodec_48khz")).stdout.decode()
    codec = ecdc.load_model("encodec_48khz")
    assert codec.fingerprint.hex() in shown and "time_group_norm" in shown and path.name in shown
    assert (
        f"codec {codec.fingerprint.hex()}, as installed" in check(command("models", "verify", "other")).stderr.decode()
    )
    stereo = tmp_path / "s.wav"
    soundfile.write(stereo, audio(codec.config, 100_000)[0].T.numpy(), 48000)
    check(command("compress", stereo, "-m", "encodec_48khz", tmp_path / "s.ecdc"))
    for name in ("encodec_48khz", "other"):
        check(command("compress", "--no-lm", stereo, "-m", name, tmp_path / f"{name}.ecdc"))
    check(command("models", "remove", "other"))
    # Under another name, but the same weights.
    own, other, searched = (ecdc.read(tmp_path / f"{name}.ecdc")[0] for name in ("encodec_48khz", "other", "s"))
    assert own.shape == searched.shape == (100_000, 2) and np.array_equal(own, other)
    check(command("models", "remove", "encodec_48khz"))
    gone = command("decompress", tmp_path / "s.ecdc", "-o", tmp_path / "x.wav")
    assert (
        gone.returncode == 1 and b"ecdc models pull encodec_48khz" in gone.stderr and not (tmp_path / "x.wav").exists()
    )
    for arguments, message in (
        (("show", "nothing"), b"no model nothing"),
        (("remove", "ecdc_24khz"), b"no model"),
        (("import", path, "--name", "ecdc_24khz"), b"comes with the package"),
        (("import", path, "--name", "../x"), b"no name for a model"),
        (("import", lm_path, "--name", "gone"), b"no model gone is installed"),
        (("import", VOICE), b"cannot be read as a checkpoint"),
    ):
        done = command("models", *arguments)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count(b"\n") == 1, done.stderr
    assert set(installed()) == set()
