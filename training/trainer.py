"""Training of a codec: one process of it, and what it keeps on disk."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from torch import Tensor, nn

from ecdc.codec.codec import loudness
from ecdc.errors import EcdcError
from ecdc.files import open_output

from .balancer import Balancer
from .checks import Checks
from .data import Crops, scan
from .discriminator import Discriminator, adversarial_loss, discriminator_loss, feature_loss
from .initial import initial_codec
from .losses import mel_loss, time_loss
from .optimizer import Optimizer
from .processes import asked_to_stop, average, rank, run, share, world
from .quantizer import QuantizerTrainer
from .settings import Settings
from .shaping import Shaping
from .similarity import similarity_loss

STATE, INDEX = "state.pt", "index.json"
# Its gradient at the latents is then about as long as that of the reconstruction.
COMMITMENT = 30.0
# The discriminator's learning rate where the codec's is at its height. The codec gets round whatever it finds, so it has
# to find more quickly than that: at twice the codec's rate its loss did not fall.
DISCRIMINATOR_RATE = 5e-3
# Latents for the codebooks' start.
START_BATCHES = 24
# Short packets have no envelope.
SHAPED_ODDS = 3 / 4
# What the discriminator's training does not need to know: gradients longer than this are shortened.
LONGEST_GRADIENT = 10.0


class Trainer:
    """`step()` again and again; everything that it depends on goes into `state()`, or follows from seed and step."""

    def __init__(self, settings: Settings, folder: Path):
        self.settings, self.folder = settings, folder
        self.device = torch.device(settings.device)
        torch.manual_seed(settings.seed)
        self.codec = initial_codec(settings).to(self.device).train()
        self.config = self.codec.config
        self.codec.requires_grad_(True)
        self.codec.encoder.requires_grad_(not settings.decoder_only)
        self.crops = Crops(scan([Path(name) for name in settings.audio], folder / INDEX),
                           self.config.sample_rate, self.config.channels, settings.quietest)
        hop = self.config.hop_length
        self.length = self.config.segment_length or round(settings.seconds * self.config.sample_rate / hop) * hop
        frames = self.config.frames_for(self.length) * settings.batch * world()
        self.quantizer = QuantizerTrainer(self.codec.quantizer, frames)
        trained = [self.codec.decoder] if settings.decoder_only else [self.codec.encoder, self.codec.decoder]
        self.optimizer = Optimizer(nn.ModuleList(trained))
        self.balancer = Balancer()
        self.shaping = Shaping(self.config) if self.config.envelope_frames else None
        self.discriminator: Optional[Discriminator] = None
        self.averaged = {name: tensor.detach().clone() for name, tensor in self.codec.state_dict().items()}
        # The latents' variance when quantization began: what the commitment is relative to. Relative to the present
        # one it would not keep latents from growing, ever further out of the codebooks' reach.
        self.scale = torch.ones((), device=self.device)
        self.done = 0
        self.saved = time.monotonic()
        if settings.adversarial is not None:
            self.discriminator = Discriminator(self.config.channels).to(self.device)
            self.judge_optimizer = Optimizer(self.discriminator)
        if not settings.new_codebooks:
            with torch.no_grad():
                self.scale = self.codec.encoder(self.batch(0)).var()
                average([self.scale])
        if (folder / STATE).exists():
            self.load(torch.load(folder / STATE, map_location=self.device, weights_only=True))
        for tensor in self.codec.state_dict().values():
            share(tensor)

    def batch(self, number: int) -> Tensor:
        """The crops `[B, C, T]` of a step, normalised where the model does so."""
        random = np.random.default_rng([self.settings.seed, number, rank()])
        wave = torch.from_numpy(self.crops.batch(random, self.settings.batch, self.length)).to(self.device)
        if self.config.normalize:
            wave = wave / loudness(wave)
        return wave

    def step(self) -> dict[str, float]:
        """One step of training; returns its losses."""
        settings, step = self.settings, self.done
        torch.manual_seed(settings.seed + 7919 * step + rank())
        if step == settings.unquantized and settings.new_codebooks:
            self._start_codebooks()
        wave = self.batch(step)
        latents = self.codec.encoder(wave)
        losses: dict[str, Tensor] = {}
        quantized = latents
        if settings.decoder_only:
            quantized = self._coded(latents)
        elif step >= settings.unquantized or not settings.new_codebooks:
            quantized, losses["commitment"] = self.quantizer(latents, self._bandwidths(), step)
        # The graph is cut here: the commitment's gradient joins that of the decoder's input.
        decoded_from = quantized.detach().requires_grad_()
        output = self._heard(self.codec.decoder(decoded_from)[..., :self.length], wave)
        weights = settings.weights_at(step)
        balanced = {"time": time_loss(output, wave), "mel": mel_loss(output, wave, self.config.sample_rate)}
        if "similarity" in weights:
            balanced["similarity"] = similarity_loss(output, wave, self.config.sample_rate)
        if "adversarial" in weights:
            real, made = self.discriminator(wave), self.discriminator(output)
            losses["discriminator"] = discriminator_loss(real, made)
            balanced |= {"adversarial": adversarial_loss(made), "feature": feature_loss(real, made)}
        gradient = self.balancer.gradient(balanced, weights, output)
        if "discriminator" in losses:
            self._train_discriminator(losses["discriminator"])
        output.backward(gradient)
        if not settings.decoder_only:
            at_latents = decoded_from.grad
            if "commitment" in losses:
                pull, = torch.autograd.grad(losses["commitment"], latents, retain_graph=True)
                at_latents = at_latents + COMMITMENT * pull / self.scale
            latents.backward(at_latents)
        rate = settings.rate_at(step)
        self.optimizer.step(rate, settings.adam_share * rate)
        self._average()
        self.done += 1
        return {name: float(loss.detach()) for name, loss in (losses | balanced).items()}

    def _coded(self, latents: Tensor) -> Tensor:
        """Latents as a decoder gets them."""
        quantizer = self.codec.quantizer
        return torch.cat([quantizer.decode(quantizer.encode(item[None], count))
                          for item, count in zip(latents, self._bandwidths().tolist())])

    def _heard(self, output: Tensor, wave: Tensor) -> Tensor:
        """The decoder's output as it is heard: of a model with envelopes, most items have the levels of `wave`."""
        if self.shaping is None:
            return output
        shaped = torch.rand(len(output), 1, 1, device=self.device) < SHAPED_ODDS
        return torch.where(shaped, self.shaping(output, wave), output)

    def _bandwidths(self) -> Tensor:
        """Codebooks for every item of the batch: those of a random bandwidth."""
        counts = torch.tensor([self.config.codebooks_for(rate) for rate in self.config.bandwidths], device=self.device)
        return counts[torch.randint(len(counts), (self.settings.batch,), device=self.device)]

    def _train_discriminator(self, loss: Tensor) -> None:
        parameters = list(self.discriminator.parameters())
        # Not backward(), which would go on into the codec.
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(parameters, LONGEST_GRADIENT)
        rate = DISCRIMINATOR_RATE * self.settings.rate_at(self.done) / self.settings.rate
        self.judge_optimizer.step(rate, rate)

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        latents = [self.codec.encoder(self.batch(self.done + number)) for number in range(START_BATCHES)]
        flat = torch.cat([x.transpose(1, 2).flatten(0, 1) for x in latents])
        self.quantizer.start_from(flat)
        self.scale = flat.var()
        average([self.scale])

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.settings.average, (1 + self.done) / (10 + self.done))
        for name, tensor in self.codec.state_dict().items():
            self.averaged[name].lerp_(tensor, 1 - keep)

    def state(self) -> dict:
        state = {"step": self.done, "codec": self.codec.state_dict(), "averaged": self.averaged,
                 "quantizer": self.quantizer.state(), "balancer": self.balancer.state(), "scale": self.scale,
                 "optimizer": self.optimizer.state()}
        if self.discriminator is not None:
            state |= {"discriminator": self.discriminator.state_dict(), "judge": self.judge_optimizer.state()}
        return state

    def load(self, state: dict) -> None:
        self.done = state["step"]
        self.codec.load_state_dict(state["codec"])
        self.averaged = state["averaged"]
        self.quantizer.load(state["quantizer"])
        self.balancer.load(state["balancer"])
        self.scale = state["scale"]
        self.optimizer.load(state["optimizer"])
        if self.discriminator is not None and "discriminator" in state:
            self.discriminator.load_state_dict(state["discriminator"])
            self.judge_optimizer.load(state["judge"])

    def save(self) -> None:
        """By the first process alone; a kill in the middle leaves the state before."""
        self.saved = time.monotonic()
        if rank() == 0:
            with open_output(self.folder / STATE) as file:
                torch.save(self.state(), file)


def train(settings: Settings, folder: Path) -> None:
    """Train to the last step, going on where the folder's state is; SIGTERM saves and stops."""
    if settings.device == "cuda" and settings.processes > torch.cuda.device_count():
        raise EcdcError(f"{settings.processes} processes on cuda need as many GPUs: there are "
                        f"{torch.cuda.device_count()}")
    if settings.decoder_only and (settings.model is None or settings.new_codebooks):
        raise EcdcError("decoder-only training keeps the codes of a --model: give one, without --config")
    # Here once, so that what is wrong is said before there are several processes.
    initial_codec(settings)
    settings.save(folder)
    scan([Path(name) for name in settings.audio], folder / INDEX)
    run(_train, settings.processes, settings, folder)


def _train(settings: Settings, folder: Path) -> None:
    trainer = Trainer(settings, folder)
    checks = Checks(trainer.config, settings, folder) if rank() == 0 else None
    with asked_to_stop() as stopping:
        while trainer.done < settings.steps:
            started = time.monotonic()
            losses = trainer.step()
            if checks is not None:
                checks.after(trainer.done, losses, time.monotonic() - started, trainer.averaged)
            if stopping():
                break
            if time.monotonic() - trainer.saved > 60 * settings.save_minutes:
                trainer.save()
        trainer.save()
    if rank() == 0:
        print(f"\nstopped after step {trainer.done} of {settings.steps}", file=sys.stderr)
