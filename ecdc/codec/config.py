"""The one configuration object that describes any EnCodec model."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ..errors import ModelError


@dataclass(frozen=True)
class CodecConfig:
    """Architecture and operating points of a codec (paper sections 3.1 and 3.2).

    Times are in seconds, bandwidths in kbps; `ratios` are the decoder's up-sampling
    factors in its order, the encoder's strides are their reverse. Not in the paper: `bottleneck_layers`,
    residual blocks at the frame rate, where the LSTM is or in its place; `target_peak`, which streams are
    brought near before they are encoded, for a model that does not normalise.
    The defaults are the official 24 kHz model.
    """

    name: str = "unnamed"
    sample_rate: int = 24000
    channels: int = 1
    n_filters: int = 32
    dimension: int = 128
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    n_residual_layers: int = 1
    dilation_base: int = 2
    compress: int = 2
    lstm_layers: int = 2
    bottleneck_layers: int = 0
    activation: str = "ELU"
    norm: str = "weight_norm"
    causal: bool = True
    pad_mode: str = "reflect"
    trim_right_ratio: float = 1.0
    true_skip: bool = False
    codebooks: int = 32
    codebook_size: int = 1024
    bandwidths: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0, 24.0)
    normalize: bool = False
    segment: Optional[float] = None
    overlap: float = 0.01
    target_peak: Optional[float] = None

    def __post_init__(self) -> None:
        for name in ("ratios", "bandwidths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for problem, wrong in self._problems().items():
            if wrong:
                raise ModelError(f"model configuration {self.name!r}: {problem}")

    def _problems(self) -> dict[str, bool]:
        sizes = (self.n_filters, self.dimension, self.kernel_size, self.last_kernel_size, self.residual_kernel_size,
                 self.n_residual_layers, self.dilation_base, self.compress, *self.ratios)
        return {
            "sample_rate must lie between 1000 and 384000": not 1000 <= self.sample_rate <= 384000,
            "channels must be 1 or 2": self.channels not in (1, 2),
            "sizes must lie between 1 and 4096": not all(1 <= size <= 4096 for size in sizes),
            "ratios must name at least one factor": not self.ratios,
            "lstm_layers must lie between 0 and 16": not 0 <= self.lstm_layers <= 16,
            "bottleneck_layers must lie between 0 and 8": not 0 <= self.bottleneck_layers <= 8,
            "activation must be ELU": self.activation != "ELU",
            "norm must be none, weight_norm or time_group_norm":
                self.norm not in ("none", "weight_norm", "time_group_norm"),
            "pad_mode must be reflect or constant": self.pad_mode not in ("reflect", "constant"),
            "trim_right_ratio must be 1 unless causal, and lie between 0 and 1":
                not 0 <= self.trim_right_ratio <= 1 or (not self.causal and self.trim_right_ratio != 1),
            "codebooks must lie between 1 and 255": not 1 <= self.codebooks <= 255,
            "codebook_size must be a power of two up to 65536":
                not 2 <= self.codebook_size <= 65536 or self.codebook_size & (self.codebook_size - 1) != 0,
            "segment must lie between 0.1 and 60": self.segment is not None and not 0.1 <= self.segment <= 60,
            "overlap must lie between 0 and 0.5": not 0 <= self.overlap <= 0.5,
            "normalize and time_group_norm need a segment":
                self.segment is None and (self.normalize or self.norm == "time_group_norm"),
            "target_peak must lie between 0.001 and 1, and is for models without segments":
                self.target_peak is not None and not (0.001 <= self.target_peak <= 1 and self.segment is None),
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> CodecConfig:
        """Build from the contents of a config.json; keys that are not ours are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        try:
            return cls(**{key: value for key, value in values.items() if key in known})
        except TypeError as error:
            raise ModelError(f"model configuration: a value has the wrong type ({error})") from None

    def canonical(self) -> bytes:
        """Everything that decides what the weights compute, as bytes to take a fingerprint of."""
        # Only what differs from the defaults: a field that a later version adds changes no old fingerprint.
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
                  if field.name not in ("name", "bandwidths", "target_peak") and getattr(self, field.name) != field.default}
        return json.dumps(values, sort_keys=True).encode()

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.ratios)

    @property
    def frame_rate(self) -> int:
        """Frames per second, rounded up as the official code does."""
        return -(-self.sample_rate // self.hop_length)

    @property
    def bits_per_code(self) -> int:
        return self.codebook_size.bit_length() - 1

    @property
    def kbps_per_codebook(self) -> float:
        return self.frame_rate * self.bits_per_code / 1000

    @property
    def segment_length(self) -> Optional[int]:
        """Samples in a full segment, or None for a model that streams."""
        return None if self.segment is None else int(self.segment * self.sample_rate)

    @property
    def segment_stride(self) -> Optional[int]:
        """Samples from the start of one segment to the start of the next."""
        return None if self.segment is None else max(1, int((1 - self.overlap) * self.segment_length))

    @property
    def block_frames(self) -> int:
        """Frames worked on at once: a segment, or about one second so that activations stay in cache."""
        return self.frame_rate if self.segment is None else self.frames_for(self.segment_length)

    @property
    def context_layers(self) -> int:
        """Layers at the frame rate, in the encoder and in the decoder: the LSTM's is one, whatever its depth."""
        return (self.lstm_layers > 0) + self.bottleneck_layers

    @property
    def decoder_memory(self) -> int:
        """Frames before its own that a sample depends on through the decoder's convolutions."""
        def reach(layers: int) -> int:
            return (self.residual_kernel_size - 1) * sum(self.dilation_base ** index for index in range(layers))

        frames, rate = float(self.kernel_size - 1 + reach(self.bottleneck_layers)), 1
        for ratio in self.ratios:
            # A transposed convolution sees one step back.
            frames += 1 / rate
            rate *= ratio
            frames += reach(self.n_residual_layers) / rate
        return math.ceil(frames + (self.last_kernel_size - 1) / rate)

    def frames_for(self, samples: int) -> int:
        """Frames that `samples` samples of one segment (or of a whole stream) become."""
        return -(-samples // self.hop_length)

    def codebooks_for(self, bandwidth: float) -> int:
        """Number of codebooks at a bandwidth in kbps.

        Raises ModelError, naming the nearest possible rates, if no whole number of
        codebooks has this rate.
        """
        step = self.kbps_per_codebook
        count = round(bandwidth / step) if math.isfinite(bandwidth) else 0
        if bandwidth in self.bandwidths:
            count = max(1, int(bandwidth / step + 1e-9))
        elif abs(count * step - bandwidth) > 1e-6:
            count = 0
        if not 1 <= count <= self.codebooks:
            named = ", ".join(f"{rate:g}" for rate in self.bandwidths)
            raise ModelError(f"{bandwidth:g} kbps is not possible with {self.name}: choose {named}, "
                             f"or any multiple of {step:g} up to {self.codebooks * step:g}")
        return count
