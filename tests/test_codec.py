"""The codec core against the official package with random weights, and streams against whole signals."""

import dataclasses

import numpy as np
import pytest
import torch
from support.peers import CONFIGS, official_model

from ecdc.codec.blocks import Block
from ecdc.codec.codec import Codec
from ecdc.codec.config import CodecConfig
from ecdc.codec.network import Encoded
from ecdc.codec.segments import Segmenter
from ecdc.codec.streaming import decoder_stream, encoder_stream
from ecdc.errors import EcdcError, ModelError
from ecdc.stream.stretch import decoder_memory

LENGTHS = (1, 2, 319, 320, 321, 641, 2239, 2241, 6719, 6720, 24000, 47520, 47521, 48000, 96000)
OFFICIAL_FAILS = 47720


@pytest.fixture(scope="module", params=CONFIGS)
def models(request):
    """The official model with random weights and codebooks that fit its latents, and ours with the same."""
    torch.manual_seed(0)
    config = CONFIGS[request.param]
    official = official_model(config)
    # Weights that keep the signal alive through the layers, which the default ones do not.
    for name, parameter in official.named_parameters():
        if parameter.dim() > 1 and not name.endswith("weight_g"):
            parameter.data.normal_(0, parameter[0].numel() ** -0.5)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.01)
    with torch.inference_mode():
        residual = official.encoder(torch.randn(1, config.channels, 24000) * 0.3)[0].T
        for layer in official.quantizer.vq.layers:
            entries = torch.randn(config.codebook_size, config.dimension)
            layer._codebook.embed.data.copy_(residual.mean(0) + entries * residual.std(0) / 2)
            layer._codebook.inited.data.fill_(1)
            residual = residual - layer.decode(layer.encode(residual.T[None]))[0].T
    return official, Codec.from_state(config, official.state_dict())


def wave_of(codec: Codec, length: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randn(1, codec.config.channels, length, generator=generator) * 0.3


def assert_same_codes(codec: Codec, wave: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Equal, but for frames in which two entries of a codebook are equally near within float32 rounding.

    Such a tie falls either way by the order of a sum, in the official code too from one
    number of threads to another; what follows it in the frame then differs rightly.
    """
    assert ours.shape == theirs.shape
    frames = (ours != theirs).any(0).nonzero()[:, 0].tolist()
    assert len(frames) <= 1 + ours.shape[1] // 50
    for frame in frames:
        k = int((ours[:, frame] != theirs[:, frame]).nonzero()[0])
        embed = codec.quantizer.embed.double()
        residual = codec.encoder(wave)[0, :, frame].double() - sum(embed[i, ours[i, frame]] for i in range(k))
        entries = embed[k, [ours[k, frame], theirs[k, frame]]]
        distance = (residual - entries).square().sum(1)
        assert abs(distance[0] - distance[1]) < 2e-5 * (residual.square().sum() + entries[0].square().sum())


def random_sizes(total: int) -> list[int]:
    generator, sizes = np.random.default_rng(total), []
    while total:
        sizes.append(min(total, int(generator.integers(0, 5000))))
        total -= sizes[-1]
    return sizes


@pytest.mark.parametrize("length", LENGTHS)
def test_equals_official(models, length):
    official, codec = models
    wave = wave_of(codec, length)
    with torch.inference_mode():
        expected = official.encode(wave)
        segmenter = Segmenter(codec.config)
        segments = map(torch.from_numpy, [*segmenter.push(wave.numpy()), *segmenter.flush()])
        encoded = codec.encode(wave)
        assert len(encoded) == len(expected)
        for segment, (codes, scale), ours in zip(segments, expected, encoded):
            assert_same_codes(codec, segment if scale is None else segment / scale, ours.codes[0], codes[0])
            if scale is not None:
                torch.testing.assert_close(ours.scale, scale[:, 0], rtol=1e-6, atol=0)
        same = [Encoded(codes, None if scale is None else scale[:, 0]) for codes, scale in expected]
        torch.testing.assert_close(codec.decode(same), official.decode(expected), rtol=0, atol=1e-4)


def test_random_codebooks_are_a_real_test(models):
    _, codec = models
    codes = codec.encode(wave_of(codec, 24000))[0].codes
    assert len(codes[0, 0].unique()) > 10


def test_length_that_the_official_decoder_cannot_join():
    torch.manual_seed(0)
    codec = Codec(CONFIGS["official 48 kHz"])
    wave = wave_of(codec, OFFICIAL_FAILS)
    decoded = codec.decode(codec.encode(wave, 2))
    assert decoded.shape[-1] >= OFFICIAL_FAILS and torch.isfinite(decoded).all()


def test_batch_equals_single(models):
    _, codec = models
    waves = torch.cat([wave_of(codec, 5000), 0.1 * wave_of(codec, 5000).flip(-1)])
    for together, *alone in zip(codec.encode(waves), *(codec.encode(wave[None]) for wave in waves)):
        assert torch.equal(together.codes, torch.cat([one.codes for one in alone]))


@pytest.mark.parametrize("length", (1, 321, 2239, 2241, 60_003))
def test_stream_equals_whole(models, length):
    _, codec = models
    wave = wave_of(codec, length)
    encoded = codec.encode(wave)
    codes = torch.cat([part.codes[0] for part in encoded], dim=-1).numpy()
    decoded = codec.decode(encoded)[0]
    for block_frames in (75, 2):
        encoder, blocks = encoder_stream(codec, codec.config.codebooks, block_frames), []
        for piece in wave[0].split(random_sizes(length), dim=-1):
            blocks += encoder.push(piece.numpy())
        blocks += encoder.flush()
        streamed = np.concatenate([block.codes for block in blocks], axis=1)
        if codec.config.segment is None:
            assert_same_codes(codec, wave, torch.from_numpy(streamed), torch.from_numpy(codes))
        else:
            np.testing.assert_array_equal(streamed, codes)
    decoder = decoder_stream(codec)
    if codec.config.segment is None:
        blocks = [Block(codes[:, i : i + 3]) for i in range(0, codes.shape[1], 3)]
    else:
        blocks = [Block(part.codes[0].numpy(), None if part.scale is None else part.scale.item()) for part in encoded]
    streamed = np.concatenate([wave for block in blocks for wave in decoder.push(block)] + [decoder.flush()], axis=-1)
    np.testing.assert_allclose(streamed, decoded.numpy(), rtol=0, atol=1e-5)


def test_parametrizations_are_folded():
    torch.manual_seed(0)
    conv = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(6, 4, 8))
    from ecdc.codec.weights import fold_weight_norm

    folded = fold_weight_norm({f"x.{name}": tensor.numpy() for name, tensor in conv.state_dict().items()})
    torch.testing.assert_close(torch.from_numpy(folded["x.weight"]), conv.weight.detach())


def test_fingerprint_tells_weights_and_configurations_apart():
    torch.manual_seed(0)
    config = CodecConfig(n_filters=2, dimension=8, codebooks=2, norm="none")
    state = official_model(config).state_dict()
    first = Codec.from_state(config, state).fingerprint
    assert Codec.from_state(config, dict(reversed(state.items()))).fingerprint == first
    name = "encoder.model.0.conv.conv.bias"
    assert Codec.from_state(config, {**state, name: state[name] + 1e-3}).fingerprint != first
    other = CodecConfig(n_filters=2, dimension=8, codebooks=2, norm="none", pad_mode="constant")
    assert Codec.from_state(other, state).fingerprint != first


@pytest.mark.parametrize(
    "change",
    (
        {},
        {"bottleneck_layers": 4},
        {"causal": False, "bottleneck_layers": 2},
        {"ratios": (4, 2), "kernel_size": 5, "n_residual_layers": 3},
    ),
)
def test_a_decoder_remembers_as_long_as_it_says(change):
    torch.manual_seed(0)
    config = CodecConfig(n_filters=4, dimension=8, codebooks=1, norm="none", pad_mode="constant", lstm_layers=0)
    config = dataclasses.replace(config, **change)
    decoder = Codec(config).double().decoder
    latents = torch.randn(1, 8, 100, dtype=torch.double)
    other = latents.clone()
    other[..., 20] += 1
    with torch.inference_mode():
        changed = (decoder(latents) - decoder(other)).abs().amax((0, 1)).nonzero()[:, 0]
    last = int(changed.max()) // config.hop_length - 20
    assert last == decoder_memory(config) if config.causal else 0 < last <= decoder_memory(config)


def test_bandwidths():
    config = CodecConfig(name="x")
    assert [config.codebooks_for(rate) for rate in (0.75, 1.5, 3, 4.5, 6, 12, 24)] == [1, 2, 4, 6, 8, 16, 32]
    for rate in (0, -6, 5, 24.75, float("nan"), float("inf")):
        with pytest.raises(ModelError, match="choose 1.5, 3, 6, 12, 24, or any multiple of 0.75 up to 24"):
            config.codebooks_for(rate)
    assert CONFIGS["official 32 kHz"].codebooks_for(2.2) == 4


@pytest.mark.parametrize(
    "change",
    (
        {"ratios": ()},
        {"n_filters": 0},
        {"n_filters": 10**9},
        {"norm": "layer_norm"},
        {"codebook_size": 1000},
        {"pad_mode": "replicate"},
        {"normalize": True},
        {"norm": "time_group_norm"},
        {"channels": 7},
        {"sample_rate": "fast"},
        {"bottleneck_layers": 9},
        {"segment": 1e9},
        {"activation": "ReLU"},
    ),
)
def test_impossible_configurations(change):
    with pytest.raises(ModelError):
        CodecConfig.from_mapping(change)


def test_wrong_shapes_and_weights():
    codec = Codec(CodecConfig(n_filters=2, dimension=8, codebooks=2, norm="none"))
    for shape in ((1, 320), (1, 2, 320), (1, 1, 0), (0, 1, 320)):
        with pytest.raises(EcdcError):
            codec.encode(torch.zeros(shape))
    with pytest.raises(ModelError, match="codebook 0 is missing"):
        Codec.from_state(codec.config, {})
