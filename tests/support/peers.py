"""The official package as a peer, with random weights of any configuration."""

import sys
import time
import types
import warnings

import torch

from ecdc.codec.config import CodecConfig

# The package imports torchaudio, which codec and quantizer do not use. Others must not find the stub.
sys.modules["torchaudio"] = types.ModuleType("torchaudio")
warnings.filterwarnings("ignore", category=FutureWarning)

import encodec.compress  # noqa: E402
from encodec.modules import SEANetDecoder, SEANetEncoder  # noqa: E402
from encodec.modules.seanet import SEANetResnetBlock  # noqa: E402
from encodec.quantization import ResidualVectorQuantizer  # noqa: E402

del sys.modules["torchaudio"]

CONFIGS = {
    "official 24 kHz": CodecConfig(),
    "official 32 kHz": CodecConfig(
        sample_rate=32000,
        ratios=(8, 5, 4, 4),
        causal=False,
        codebooks=4,
        codebook_size=2048,
        bandwidths=(2.2,),
        n_filters=64,
    ),
    "official 48 kHz": CodecConfig(
        sample_rate=48000,
        channels=2,
        causal=False,
        norm="time_group_norm",
        normalize=True,
        segment=1.0,
        codebooks=16,
        bandwidths=(3.0, 6.0, 12.0, 24.0),
    ),
    "bundled 24 kHz": CodecConfig(n_filters=16, norm="none", pad_mode="constant", lstm_layers=0, bottleneck_layers=4),
    "bundled 48 kHz": CodecConfig(
        sample_rate=48000,
        channels=2,
        n_filters=16,
        norm="none",
        causal=False,
        lstm_layers=0,
        bottleneck_layers=4,
        normalize=True,
        segment=1.0,
        codebooks=16,
        bandwidths=(3.0, 6.0, 12.0, 24.0),
    ),
    "residual variations": CodecConfig(
        n_filters=8, n_residual_layers=3, true_skip=True, lstm_layers=1, codebooks=8, bandwidths=(6.0,)
    ),
    "trimmed on both sides": CodecConfig(
        n_filters=8, trim_right_ratio=0.5, lstm_layers=0, codebooks=8, bandwidths=(6.0,)
    ),
}


def official_model(config: CodecConfig) -> encodec.EncodecModel:
    shared = {
        "channels": config.channels,
        "dimension": config.dimension,
        "n_filters": config.n_filters,
        "n_residual_layers": config.n_residual_layers,
        "ratios": list(config.ratios),
        "norm": config.norm,
        "causal": config.causal,
        "pad_mode": config.pad_mode,
        "true_skip": config.true_skip,
        "lstm": config.lstm_layers,
    }
    quantizer = ResidualVectorQuantizer(dimension=config.dimension, n_q=config.codebooks, bins=config.codebook_size)
    encoder = SEANetEncoder(**shared)
    decoder = SEANetDecoder(**shared, trim_right_ratio=config.trim_right_ratio)
    # Before the last ELU and convolution; after the first convolution, and the LSTM.
    insert_bottleneck(encoder, len(encoder.model) - 2, config)
    insert_bottleneck(decoder, 1 + (config.lstm_layers > 0), config)
    model = encodec.EncodecModel(
        encoder,
        decoder,
        quantizer,
        list(config.bandwidths),
        config.sample_rate,
        config.channels,
        config.normalize,
        config.segment,
    ).eval()
    model.set_target_bandwidth(config.bandwidths[-1])
    return model


def insert_bottleneck(part: torch.nn.Module, at: int, config: CodecConfig) -> None:
    """What the official models do not have, made of their own residual blocks."""
    width = config.n_filters * 2 ** len(config.ratios)
    blocks = [
        SEANetResnetBlock(
            width,
            kernel_sizes=[config.residual_kernel_size, 1],
            dilations=[config.dilation_base**index, 1],
            norm=config.norm,
            causal=config.causal,
            pad_mode=config.pad_mode,
            compress=1,
            true_skip=True,
        )
        for index in range(config.bottleneck_layers)
    ]
    layers = list(part.model)
    part.model = torch.nn.Sequential(*layers[:at], *blocks, *layers[at:])


def official_language_model(codebooks: int = 32, card: int = 1024, window: int = 262):
    """The official language model with random weights."""
    return encodec.model.LMModel(codebooks, card, num_layers=5, dim=200, past_context=window).eval()


def official_coded(seconds: float) -> tuple[float, float]:
    """Speed of the official language model and arithmetic coder, as multiples of real time: encoding, decoding.

    With random weights, at 6 kbps.
    """
    model = official_model(CONFIGS["official 24 kHz"])
    model.name = "encodec_24khz"
    model.set_target_bandwidth(6.0)
    lm = official_language_model()
    model.get_lm_model = lambda: lm
    compressing = sys.modules["encodec.compress"]
    compressing.MODELS = {"encodec_24khz": lambda: model}
    wave = torch.randn(1, int(seconds * 24000)) * 0.1
    with torch.inference_mode():
        encoded = model.encode(wave[None])
        # The codec's part is done: what is timed is the language model and the coder.
        model.encode, model.decode = lambda wave: encoded, lambda frames: wave[None]
        compressing.decompress(compressing.compress(model, wave[:, :24000], use_lm=True))
        started = time.perf_counter()
        data = compressing.compress(model, wave, use_lm=True)
        between = time.perf_counter()
        compressing.decompress(data)
        return seconds / (between - started), seconds / (time.perf_counter() - between)
