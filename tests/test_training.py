"""Training: its parts, a few steps of all of it, and that a resumed run is the uninterrupted one."""

import dataclasses
import re
import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, VOICE
from support.tiny_training import TINY, tiny_settings

import ecdc
from ecdc.codec.codec import Codec
from ecdc.codec.quantizer import ResidualVectorQuantizer
from ecdc.errors import EcdcError
from ecdc.models.importing import import_model
from ecdc.models.known import KNOWN
from training.codec.discriminator import Discriminator, adversarial_loss, discriminator_loss, feature_loss
from training.codec.export import export_codec, save_model
from training.codec.initial import initial_codec
from training.codec.optimizer import Optimizer, orthogonalised
from training.codec.quantizer import QuantizerTrainer
from training.codec.trainer import Trainer, train
from training.data.crops import Crops, scan


def test_core_does_not_import_training():
    for path in (ROOT / "ecdc").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) \.*training", path.read_text(), re.M), path


def test_orthogonalised_has_equal_singular_values():
    for shape in ((20, 50), (50, 20)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
        assert values.min() > 0.5 and values.max() < 1.3


def test_quantizer_trainer_quantizes_as_the_codec_and_learns():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(3, 16, 8)
    trainer = QuantizerTrainer(quantizer, 400)
    data = torch.randn(2, 8, 200)
    trainer.start_from(data.transpose(1, 2).reshape(-1, 8))
    latents = data.clone().requires_grad_()
    expected = quantizer.decode(quantizer.encode(data, 3))[0], quantizer.decode(quantizer.encode(data, 1))[1]
    result = trainer(latents, torch.tensor([3, 1]), 0)
    assert torch.allclose(result.latents[0], expected[0], atol=1e-5)
    assert torch.allclose(result.latents[1], expected[1], atol=1e-5)
    result.latents.sum().backward()
    assert torch.allclose(latents.grad, torch.ones_like(data))
    first = trainer(data, torch.tensor([3, 3]), 1).commitment.item()
    for step in range(200):
        result = trainer(data, torch.tensor([3, 3]), step)
    assert result.commitment.item() < first


def test_dead_codes_are_renewed():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(2, 16, 8)
    quantizer.embed[:] = torch.randn(2, 16, 8)
    quantizer.embed[0, 5] = 1000.0
    trainer = QuantizerTrainer(quantizer, 200)
    for step in range(500):
        trainer(torch.randn(1, 8, 200), torch.tensor([2]), step)
    assert quantizer.embed[0, 5].abs().max() < 10


def test_crops_follow_from_the_generator_and_survive_short_files(audio, tmp_path):
    sources = scan([audio], tmp_path / "index.json")
    assert sorted(source.category for source in sources) == ["music", "sound", "speech"]
    assert scan([audio], tmp_path / "index.json") == sources
    crops = Crops(sources, 16000, 2)
    one, two = (crops.batch(np.random.default_rng(5), 8, 5 * 16000) for _ in range(2))
    assert one.shape == (8, 2, 80000) and one.dtype == np.float32 and np.array_equal(one, two)
    assert np.abs(one).max() <= 1 and (np.abs(one).max((1, 2)) > 0.01).all()
    assert not np.array_equal(one, crops.batch(np.random.default_rng(6), 8, 5 * 16000))
    ones = [crops.single(np.random.default_rng(seed), 16000) for seed in range(3)]
    assert all(one.shape == (2, 16000) and 0.01 < np.abs(one).max() <= 1 for one in ones)
    quiet = [
        np.abs(Crops(sources, 16000, 2, -70.0).single(np.random.default_rng(seed), 16000)).max() for seed in range(30)
    ]
    assert min(quiet) < 0.002 and max(quiet) > 0.01
    with pytest.raises(EcdcError, match="no audio"):
        scan([tmp_path], tmp_path / "other.json")


def test_files_that_change_are_looked_at_again(audio, tmp_path):
    mine, index = tmp_path / "mine", tmp_path / "index.json"
    shutil.copytree(audio, mine)
    before = scan([mine], index)
    wave, rate = soundfile.read(mine / "speech" / "one.wav")
    soundfile.write(mine / "speech" / "one.wav", 0.1 * wave[:1000], rate)
    wave[len(wave) // 2] = np.nan
    soundfile.write(mine / "music" / "one.wav", wave, rate, "FLOAT")
    after = {source.category: source for source in scan([mine], index)}
    assert "music" not in after and after["speech"].frames == 1000
    assert after["speech"].peak < 0.2 * next(source.peak for source in before if source.category == "speech")
    # Another version's index.
    index.write_text('[["a.wav", "speech", 10, 24000, 1, 0.5]]')
    assert scan([mine], index) == list(after.values())


def test_discriminator_learns_what_is_made():
    torch.manual_seed(0)
    judge = Discriminator(1)
    optimizer = Optimizer(judge)
    real = torch.from_numpy(soundfile.read(VOICE, frames=48000, dtype="float32")[0]).reshape(4, 1, -1)
    made = real + 0.05 * torch.randn_like(real)
    losses = []
    for _ in range(25):
        loss = discriminator_loss(judge(real), judge(made))
        loss.backward()
        optimizer.step(5e-3, 5e-3)
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert adversarial_loss(judge(made)) > adversarial_loss(judge(real))
    assert feature_loss(judge(real), judge(real)) == 0 < feature_loss(judge(real), judge(made))


def test_a_resumed_run_is_the_uninterrupted_one(finished, tmp_path):
    settings, whole, part = finished.settings, finished.folder, tmp_path / "part"
    part.mkdir()
    trainer = Trainer(settings, part)
    before = [trainer.step() for _ in range(4)]
    trainer.save()
    resumed = Trainer(settings, part)
    assert resumed.done == 4
    assert set(before[2] | before[3]) == {
        "commitment",
        "time",
        "mel",
        "similarity",
        "discriminator",
        "adversarial",
        "feature",
    }
    for _ in range(2):
        resumed.step()
    one = torch.load(whole / "state.pt", weights_only=True)
    for name, tensor in resumed.averaged.items():
        assert torch.allclose(tensor, one["averaged"][name], rtol=1e-4, atol=1e-6), name
    assert (whole / "log.csv").read_text().count("\n") == 3
    assert (whole / "log.png").exists() and len(list((whole / "samples").glob("*.wav"))) == 6


def test_exported_models_compress(finished, tmp_path):
    settings, run, folder = finished
    model = ecdc.load_model(folder)
    averaged = torch.load(run / "state.pt", weights_only=True)["averaged"]["quantizer.embed"]
    largest = averaged.abs().amax(1, keepdim=True)
    assert ((model.quantizer.embed - averaged).abs() <= largest / 250 + 1e-7).all() and largest.max() > 0
    assert model.config.name == "mine" and "Steps: 6" in (folder / "README.md").read_text()
    data, rate = soundfile.read(VOICE, frames=24000)
    ecdc.write(tmp_path / "a.ecdc", data, rate, model=folder, bandwidth=model.config.bandwidths[-1])
    assert len(ecdc.read(tmp_path / "a.ecdc", model=folder)[0]) == 24000
    # Going on from it, as for fine-tuning.
    again = dataclasses.replace(settings, model=str(folder), config=None, steps=2)
    train(again, tmp_path / "again")
    assert torch.load(tmp_path / "again" / "state.pt", weights_only=True)["step"] == 2


def test_an_exported_file_is_imported_as_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("ECDC_HOME", str(tmp_path / "home"))
    torch.manual_seed(0)
    codec = Codec(KNOWN["encodec_24khz"].config)
    codec.quantizer.embed.normal_()
    save_model(tmp_path / "mine", codec.config, codec.state_dict())
    imported = ecdc.load_model(import_model(tmp_path / "mine" / "weights.safetensors", "mine"))
    assert torch.equal(imported.quantizer.embed, ecdc.load_model(tmp_path / "mine").quantizer.embed)
    torch.testing.assert_close(imported.quantizer.embed, codec.quantizer.embed, rtol=0, atol=0.03)


def test_a_model_grows(causal_run, audio, tmp_path):
    small = str(causal_run.model)
    old = ecdc.load_model(small)
    wave = torch.from_numpy(soundfile.read(VOICE, frames=9600, dtype="float32")[0])[None, None]
    wider = tiny_settings(TINY | {"dimension": 12}, audio, tmp_path)
    new = initial_codec(dataclasses.replace(wider, model=small))
    with torch.inference_mode():
        latents, before = new.encoder(wave), old.encoder(wave)
        torch.testing.assert_close(latents[:, :8], before)
        assert 0.01 < latents[:, 8:].std() / before.std() < 2
        torch.testing.assert_close(new.decoder(latents), old.decoder(before))
    grown = dataclasses.replace(
        tiny_settings(TINY | {"lstm_layers": 0, "bottleneck_layers": 2}, audio, tmp_path), model=small
    )
    assert torch.equal(
        initial_codec(grown).decoder.model[-1].conv["conv"].weight, old.decoder.model[-1].conv["conv"].weight
    )
    train(grown, tmp_path / "grown")
    export_codec(tmp_path / "grown", tmp_path / "bigger", "bigger")
    assert ecdc.load_model(tmp_path / "bigger").config.bottleneck_layers == 2
    for change, said in (
        ({"n_filters": 4}, "another n_filters"),
        ({"dimension": 4}, "fewer latents"),
        ({"ratios": [8, 5, 4], "envelope_frames": None}, "another ratios"),
    ):
        with pytest.raises(EcdcError, match=said):
            initial_codec(dataclasses.replace(tiny_settings(TINY | change, audio, tmp_path), model=small))


def test_decoder_alone_is_trained(finished, tmp_path):
    settings, _, old = finished
    further = dataclasses.replace(settings, model=str(old), config=None, decoder_only=True, average=0.0)
    train(further, tmp_path / "further")
    export_codec(tmp_path / "further", tmp_path / "new", "new")
    old, new = ecdc.load_model(old), ecdc.load_model(tmp_path / "new")
    wave = torch.from_numpy(soundfile.read(VOICE, dtype="float32", frames=24000)[0])[None, None].repeat(
        1, old.config.channels, 1
    )
    codes = old.encode(wave)
    assert all(torch.equal(a.codes, b.codes) for a, b in zip(codes, new.encode(wave)))
    assert not torch.allclose(old.decode(codes), new.decode(codes), atol=1e-4)
    for wrong in (settings, dataclasses.replace(further, model=None)):
        with pytest.raises(EcdcError, match="keeps the codes of a --model"):
            train(dataclasses.replace(wrong, decoder_only=True), tmp_path / "other")
