"""Checkpoints with random weights, saved by the official package and by transformers, as users have them."""

import sys
from pathlib import Path

import torch

from ecdc.codec.config import CodecConfig
from ecdc.models.known import KNOWN
from support.peers import encodec, official_language_model, official_model  # noqa: F401

OFFICIAL = {name: known.config for name, known in KNOWN.items()}


def lively(model: torch.nn.Module, latents: torch.Tensor, codebooks: list[torch.Tensor]) -> None:
    """Codebooks that fit the latents [D, T], so that many codes come up."""
    residual = latents.T
    for embed in codebooks:
        entries = torch.randn_like(embed)
        embed.copy_(residual.mean(0) + entries * residual.std(0) / 2)
        nearest = torch.cdist(residual, embed).argmin(1)
        residual = residual - embed[nearest]


def strengthen(model: torch.nn.Module) -> None:
    """Weights that keep the signal alive through the layers, which the default ones do not."""
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if name.endswith(("weight_g", "original0")):
            direction = parameters[name.replace("weight_g", "weight_v").replace("original0", "original1")]
            inputs, kernel = direction.shape[0], direction.shape[2]
            transposed = ".convtr." in name or (inputs == 2 * direction.shape[1] and kernel % 2 == 0)
            parameter.data.fill_(kernel**0.5 / 2 if transposed else 1.0)
        elif parameter.dim() > 1:
            parameter.data.normal_(0, parameter[0].numel() ** -0.5)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.01)


@torch.no_grad()
def official_checkpoint(config: CodecConfig, seed: int = 0):
    torch.manual_seed(seed)
    model = official_model(config)
    strengthen(model)
    latents = model.encoder(torch.randn(1, config.channels, config.sample_rate) * 0.3)[0]
    lively(model, latents, [layer._codebook.embed for layer in model.quantizer.vq.layers])
    for layer in model.quantizer.vq.layers:
        layer._codebook.inited.data.fill_(1)
    model.name = config.name
    return model


@torch.no_grad()
def transformers_checkpoint(config: CodecConfig, seed: int = 0):
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(seed)
    model = EncodecModel(
        EncodecConfig(
            target_bandwidths=list(config.bandwidths),
            sampling_rate=config.sample_rate,
            audio_channels=config.channels,
            normalize=config.normalize,
            chunk_length_s=config.segment,
            overlap=config.overlap if config.segment else None,
            hidden_size=config.dimension,
            num_filters=config.n_filters,
            upsampling_ratios=list(config.ratios),
            norm_type=config.norm,
            use_causal_conv=config.causal,
            codebook_size=config.codebook_size,
            use_conv_shortcut=not config.true_skip,
        )
    ).eval()
    strengthen(model)
    latents = model.encoder(torch.randn(1, config.channels, config.sample_rate) * 0.3)[0]
    lively(model, latents, [layer.codebook.embed for layer in model.quantizer.layers])
    return model


def save_official(folder: Path, name: str, lm: bool = False) -> tuple[object, Path, Path | None]:
    """The official model of that name with random weights, its file, and that of a language model."""
    model = official_checkpoint(OFFICIAL[name])
    path = folder / f"{name}.th"
    torch.save(model.state_dict(), path)
    if not lm:
        return model, path, None
    config = OFFICIAL[name]
    torch.manual_seed(1)
    language_model = official_language_model(config.codebooks, config.codebook_size, int(3.5 * config.frame_rate))
    with torch.no_grad():
        for linear in language_model.linears:
            linear.weight.mul_(6)  # probabilities that are worth coding with
    model.get_lm_model = lambda: language_model
    lm_path = folder / f"{name.replace('_', '_lm_', 1)}.th"
    torch.save(language_model.state_dict(), lm_path)
    return model, path, lm_path


def official_tool(model):
    """The official tool's module, knowing `model` under its name."""
    module = sys.modules["encodec.compress"]
    module.MODELS = {model.name: lambda: model}
    return module
