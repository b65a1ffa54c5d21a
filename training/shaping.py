"""What a decoder's envelope does to its output, for training: all of a crop at once, and with a gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ecdc.codec.config import CodecConfig
from ecdc.codec.envelope import FLOOR, LEVELS, LOUDNESS_POWER, MOST_DOUBLINGS, MOST_HALVINGS, SILENCE, Bands


class Shaping:
    """The same samples as from a stream that holds the target's levels (`ecdc/codec/envelope.py`)."""

    def __init__(self, config: CodecConfig):
        self.bands, self.block = Bands(config), config.envelope_frames
        self.hop = self.bands.hop
        self.window = torch.from_numpy(self.bands.window).float()
        band = torch.bucketize(torch.arange(self.hop + 1), torch.from_numpy(self.bands.edges), right=True) - 1
        self.members = (band[:, None] == torch.arange(len(self.bands.edges))).float()
        self.above, self.share = torch.from_numpy(self.bands.above), torch.from_numpy(self.bands.share).float()

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """`output` [B, C, T] with the levels of `target`, block by block; T below a block is one."""
        length = output.shape[-1]
        spectra = self._spectra(output)
        # The last window is the end's, and in no block.
        frames = spectra.shape[2] - 1
        starts = list(range(0, max(1, round(frames / self.block)) * self.block, self.block)) + [frames]
        with torch.no_grad():
            wanted = FLOOR + (self._loudness(self._spectra(target), starts) - FLOOR).round().clamp(0, LEVELS - 1)
        missing = wanted - self._loudness(spectra, starts)
        wide = missing.abs()
        gains = (missing.sign() * torch.minimum(wide, (2 * wide - 1).clamp(min=0))).clamp(-MOST_HALVINGS, MOST_DOUBLINGS)
        gains = torch.einsum("wb,nkbf->nkwf", self._interpolation(starts).to(gains), gains)
        share = self.share.to(gains)
        doublings = gains[..., self.above - 1] * (1 - share) + gains[..., self.above] * share
        windows = torch.fft.irfft(spectra * torch.exp2(doublings / 2), 2 * self.hop) * self.window.to(output)
        wave = windows[:, :, 1:, :self.hop] + windows[:, :, :-1, self.hop:]
        return wave.flatten(2)[..., :length]

    def _spectra(self, wave: Tensor) -> Tensor:
        """[B, C, windows, bins], of zeros and the first frame to the last frame and zeros."""
        padded = F.pad(wave, (self.hop, self.hop + -wave.shape[-1] % self.hop))
        return torch.fft.rfft(padded.unfold(2, 2 * self.hop, self.hop) * self.window.to(wave))

    def _loudness(self, spectra: Tensor, starts: list[int]) -> Tensor:
        """[B, C, blocks, bands] in log2 of power."""
        squares = torch.view_as_real(spectra).square().sum(-1) / (2 * self.hop)
        powers = (squares @ self.members.to(squares) + SILENCE) ** LOUDNESS_POWER
        blocks = [powers[:, :, start:end].mean(2) for start, end in zip(starts, starts[1:])]
        return torch.stack(blocks, dim=2).log2() / LOUDNESS_POWER

    @staticmethod
    def _interpolation(starts: list[int]) -> Tensor:
        """What part of each window's gain `[windows, blocks]` is that of each block: straight from middle to middle."""
        middles = [start + (end - start + 1) // 2 for start, end in zip(starts, starts[1:])]
        shares = torch.zeros(starts[-1] + 1, len(middles))
        shares[:middles[0], 0] = 1
        shares[middles[-1]:, -1] = 1
        for block, (first, last) in enumerate(zip(middles, middles[1:])):
            new = torch.arange(1, last - first + 1) / (last - first)
            shares[first:last, block], shares[first:last, block + 1] = 1 - new, new
        return shares
