"""What a training run is told, kept as settings.json in its folder."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ecdc.errors import EcdcError

# Paper: the least gain of a crop in dB. A codec that does not normalise is worse at what is quieter than it heard.
QUIETEST = -10.0


@dataclass(frozen=True)
class Settings:
    """A codec's training run.

    `model` is the folder or name of a model to go on from, `config` the config.json of one
    to train from nothing; with both, the new one begins with the old one's weights, but its
    own codebooks. `batch` counts crops of `seconds` for each process, with gains from `quietest` dB. The learning
    rate (Muon's; AdamW gets `adam_share` of it) rises over `warmup` steps and falls to
    zero over the last `decay` of `steps`. The first `unquantized` steps leave the quantizer
    out, the first `early` weigh waveform over spectrum. `similarity` is the weight of that
    loss, beside 1 for the spectrum's; 0 leaves it out. `decoder_only` keeps the codes that `model`
    makes, and with them what a language model has learnt of them. `adversarial` is the step that the
    discriminator comes in, over `ramp` steps.
    """

    audio: tuple[str, ...]
    heldout: Optional[str] = None
    model: Optional[str] = None
    config: Optional[str] = None
    steps: int = 100000
    batch: int = 4
    seconds: float = 0.8
    quietest: float = QUIETEST
    processes: int = 2
    device: str = "cpu"
    seed: int = 0
    rate: float = 2e-3
    adam_share: float = 0.5
    warmup: int = 200
    decay: int = 2000
    unquantized: int = 500
    early: int = 1200
    similarity: float = 0.0
    decoder_only: bool = False
    adversarial: Optional[int] = None
    ramp: int = 1000
    average: float = 0.999
    check_every: int = 500
    save_minutes: float = 5.0

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> Settings:
        try:
            values = json.loads((folder / "settings.json").read_text())
            return cls(**{**values, "audio": tuple(values["audio"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise EcdcError(f"{folder}: not a training run ({error})") from None

    @property
    def new_codebooks(self) -> bool:
        """Whether the codebooks are started by this run: a configuration of its own has none yet."""
        return self.config is not None

    def rate_at(self, step: int) -> float:
        return self.rate * min(1.0, (step + 1) / self.warmup, max(0.0, (self.steps - step) / self.decay))

    def weights_at(self, step: int) -> dict[str, float]:
        """Shares of the losses in the gradient."""
        early = step < self.early and self.model is None
        weights = {"time": 1.0, "mel": 0.5} if early else {"time": 0.1, "mel": 1.0}
        if self.similarity:
            weights["similarity"] = self.similarity
        if self.adversarial is not None and step >= self.adversarial:
            share = min(1.0, (step - self.adversarial) / self.ramp)
            weights |= {"adversarial": share, "feature": 2 * share}
        return weights
