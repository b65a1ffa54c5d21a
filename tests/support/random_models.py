"""Exact language models with random integers: odd sizes, and numbers as large as they may be."""

import numpy as np

from ecdc.entropy.language_model import LanguageModel


def random_model(seed: int, extreme: bool, inner: bool, positions: int = 100, **changes: int) -> LanguageModel:
    """`extreme`: all activations reach their limits, tables their ends, and sums go beyond 32 bits."""
    random = np.random.default_rng(seed)
    config = {"codebooks": 3, "codebook_size": 37, "dimension": 18, "heads": 3, "layers": 2, "window": 20, **changes}
    books, size, dimension = config["codebooks"], config["codebook_size"], config["dimension"]

    def integers(*shape):
        return (
            random.choice([-127, 127, 3], shape).astype(np.int8)
            if extreme
            else random.integers(-40, 41, shape, np.int8)
        )

    def table(first: int, length: int, last: int) -> np.ndarray:
        return np.append(np.rint(np.geomspace(first, 1, length - 1)), last).astype(np.int32)

    def norm(name: str) -> dict[str, np.ndarray]:
        gain = random.uniform(1000, 3000, dimension) * (20 if extreme and name != "norm_in" else 1)
        bias = random.uniform(-300, 300, dimension)
        return {f"{name}.gain": gain, f"{name}.bias": bias, f"{name}.epsilon": np.array([1000])}

    def linear(name: str, outputs: int, inputs: int, step: float, middle: float = 0.0) -> dict[str, np.ndarray]:
        scale = random.uniform(0.5, 1, outputs) * step * (30 if extreme else 1)
        bias = random.uniform(-50, 50, outputs) + middle
        return {f"{name}.weight": integers(outputs, inputs), f"{name}.scale": scale, f"{name}.bias": bias}

    tensors = {
        "embed": integers(books, size + 1, dimension),
        "embed_scale": random.uniform(20, 60, books),
        "positions": random.integers(-2000, 2001, (positions, dimension), np.int16),
        "attention_table": table(1 << (22 if extreme else 16), 1421, 0),
        "count_table": table(1 << (25 if extreme else 20), 1776, 1),
        **norm("norm_in"),
    }
    hidden = 2 * dimension + 1
    for index in range(config["layers"]):
        prefix = f"layers.{index}."
        tensors |= linear(prefix + "qkv", 3 * dimension, dimension, 0.01) | norm(prefix + "norm1")
        tensors |= linear(prefix + "out", dimension, dimension, 0.01) | norm(prefix + "norm2")
        tensors |= linear(prefix + "up", hidden, dimension, 0.002, 1500) | linear(
            prefix + "down", dimension, hidden, 0.01
        )
        top = 65000 if extreme else 32768
        gelu = np.concatenate([-random.integers(0, 400, 1500), np.linspace(0, top, 1500).astype(np.int64)])
        tensors[prefix + "gelu"] = gelu.astype(np.int32)
        tensors[prefix + "score_scale"] = np.array([1e-5])
    tensors["head.weight"] = integers(books, size, dimension)
    tensors["head.scale"] = random.uniform(1e-4, 5e-4, (books, size)) * (20 if extreme else 1)
    tensors["head.bias"] = random.uniform(-50, 50, (books, size))
    if inner:
        tensors["inner"] = integers(books - 1, size, dimension)
        tensors["inner_scale"] = random.integers(100, 150, books - 1) * (30 if extreme else 1)
    return LanguageModel(config, tensors)
