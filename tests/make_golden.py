"""Makes the files in tests/golden. Run by hand, and only when the format is meant to change.

The tiny models have random weights: small, fast, and nothing like speech comes out of
them. The language model of one is trained for seconds, so that it saves something.
"""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import ecdc
from ecdc.codec.codec import Codec
from ecdc.codec.config import CodecConfig
from ecdc.entropy.convert import convert
from ecdc.entropy.float_model import FloatLanguageModel
from ecdc.entropy.model_file import save_language_model
from ecdc.models.registry import LANGUAGE_MODEL

GOLDEN = Path(__file__).parent / "golden"
TINY = {
    "tiny_24khz": CodecConfig(
        name="tiny_24khz",
        n_filters=2,
        dimension=8,
        norm="none",
        pad_mode="constant",
        codebooks=4,
        bandwidths=(1.5, 3.0),
    ),
    "tiny_48khz": CodecConfig(
        name="tiny_48khz",
        sample_rate=48000,
        channels=2,
        n_filters=2,
        dimension=8,
        norm="time_group_norm",
        causal=False,
        normalize=True,
        segment=1.0,
        codebooks=4,
        bandwidths=(3.0, 6.0),
    ),
}


def official_state(codec: Codec) -> dict:
    state = dict(codec.state_dict())
    embed = state.pop("quantizer.embed")
    return {**state, **{f"quantizer.vq.layers.{k}._codebook.embed": part for k, part in enumerate(embed)}}


def save_tiny(config: CodecConfig) -> Path:
    torch.manual_seed(config.sample_rate)
    codec = Codec(config)
    for _name, parameter in codec.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, parameter[0].numel() ** -0.5)
    latents = codec.encoder(torch.randn(1, config.channels, config.sample_rate) * 0.2)
    for k in range(config.codebooks):
        codec.quantizer.embed[k] = torch.randn(config.codebook_size, config.dimension) * latents.std() / 2**k
    folder = GOLDEN / config.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1) + "\n")
    save_file(
        {name: part.half().contiguous() for name, part in official_state(codec).items()}, folder / "weights.safetensors"
    )
    (folder / "weights.safetensors").chmod(0o644)
    return folder


def train_tiny_language_model(folder: Path) -> None:
    """A language model with codes of the same frame as a condition, trained on a few seconds of the tone."""
    torch.manual_seed(1)
    codec = ecdc.load_model(folder)
    codes = codec.encode(torch.from_numpy(tone(24000, 1, 8))[None])[0].codes.clone().reshape(4, 8, 75).transpose(0, 1)
    model = FloatLanguageModel(4, dimension=16, layers=2, heads=2, hidden=32, window=30, inner=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        model.bits(codes).mean().backward()
        optimizer.step()
    save_language_model(convert(model, 150), folder / LANGUAGE_MODEL)
    (folder / LANGUAGE_MODEL).chmod(0o644)


def tone(samplerate: int, channels: int, seconds: float) -> np.ndarray:
    """`[C, T]`: a chord with some noise, the same on every machine but for the last float bits."""
    t = np.arange(int(samplerate * seconds)) / samplerate
    noise = np.random.default_rng(len(t)).standard_normal((channels, len(t))) * 0.1 * (np.sin(20 * t) > 0)
    return (noise + [0.3 * np.sin(2 * np.pi * (220 + 110 * c) * t) for c in range(channels)]).astype(np.float32)


def changed(folder: Path, **config) -> Codec:
    """The model with other settings: `target_peak`, `envelope_frames`."""
    codec = copy.copy(ecdc.load_model(folder))
    codec.config = dataclasses.replace(codec.config, **config)
    return codec


def stream(
    folder: Path,
    samplerate: int,
    channels: int,
    seconds: float,
    known: bool,
    per_key: int = 1,
    config: dict | None = None,
    **options,
) -> bytes:
    config = config or {}
    wave = tone(samplerate, channels, seconds)
    if "target_peak" in config:
        # Nothing, and ever louder.
        wave *= np.repeat([0, 1 / 100, 1 / 10, 1 / 2], wave.shape[1] // 4).astype(np.float32)
    compressor = ecdc.Compressor(
        changed(folder, **config), samplerate, channels, samples=wave.shape[1] if known else None, **options
    )
    compressor.encoder.plan = dataclasses.replace(compressor.plan, packets_per_key=per_key)
    return compressor.push(wave) + compressor.flush()


def main() -> None:
    mono, stereo = (save_tiny(config) for config in TINY.values())
    train_tiny_language_model(mono)
    tags = {"title": "Tön", "artist": "ecdc"}
    files = {
        "chunked.ecdc": stream(mono, 24000, 1, 0.5, True, bandwidth=3, tags=tags, packet_seconds=0.1, lm=False),
        "streaming.ecdc": stream(mono, 44100, 2, 0.3, False, bandwidth=1.5, packet_seconds=1, lm=False),
        "modelled.ecdc": stream(mono, 24000, 1, 2.0, True, bandwidth=3, packet_seconds=1),
        "continued.ecdc": stream(mono, 24000, 1, 1.0, False, bandwidth=3, packet_seconds=0.2, per_key=3),
        "levelled.ecdc": stream(
            mono, 24000, 1, 1.0, True, config={"target_peak": 0.6}, bandwidth=3, packet_seconds=0.25
        ),
        "shaped.ecdc": stream(mono, 24000, 1, 2.2, True, config={"envelope_frames": 25}, bandwidth=3, packet_seconds=1),
        "shaped_stereo.ecdc": stream(
            stereo, 48000, 2, 2.2, True, config={"envelope_frames": 33}, bandwidth=3, packet_seconds=2
        ),
        "shaped_live.ecdc": stream(
            mono,
            24000,
            1,
            2.2,
            False,
            per_key=9,
            config={"envelope_frames": 12},
            bandwidth=3,
            packet_seconds=0.1,
            live=True,
        ),
        "stereo.ecdc": stream(stereo, 48000, 2, 1.2, True, bandwidth=3, packet_seconds=1),
    }
    for name, data in files.items():
        path = GOLDEN / name
        path.write_bytes(data)
        wave, _ = ecdc.read(path, model=stereo if "stereo" in name else mono)
        np.save(path.with_suffix(".npy"), wave.astype(np.float16))


if __name__ == "__main__":
    main()
