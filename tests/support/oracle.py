"""The exact language model once more: one frame at a time, products in int64, from the file's tensors alone.

Written apart from ecdc.entropy.language_model, to be compared with it bit for bit.
"""

import math

import numpy as np

LIMIT = 32767


def product(weight: np.ndarray, x: list[int]) -> list[int]:
    return (weight.astype(np.int64) @ np.array(x, np.int64)).tolist()


def nearest(value: float) -> int:
    return int(max(-LIMIT, min(LIMIT, math.floor(value + 0.5))))


class Oracle:
    """Counts for each next frame of one stream."""

    def __init__(self, config: dict, tensors: dict[str, np.ndarray]):
        self.config, self.tensors = config, tensors
        self.frame = 0
        zero = [0] * config["dimension"]
        self.memory = [[self.keys_and_values(index, zero)[1:]] for index in range(config["layers"])]

    def linear(self, name: str, x: list[int]) -> list[float]:
        scale, bias = self.tensors[name + ".scale"].tolist(), self.tensors[name + ".bias"].tolist()
        return [total * s + b for total, s, b in zip(product(self.tensors[name + ".weight"], x), scale, bias)]

    def norm(self, name: str, x: list[int]) -> list[int]:
        count, total, squares = len(x), sum(x), sum(value * value for value in x)
        variance = count * squares - total * total + int(self.tensors[name + ".epsilon"][0])
        inverse = 1.0 / math.sqrt(float(variance))
        gain, bias = self.tensors[name + ".gain"].tolist(), self.tensors[name + ".bias"].tolist()
        return [nearest(float(count * value - total) * inverse * g + b) for value, g, b in zip(x, gain, bias)]

    def keys_and_values(self, index: int, x: list[int]) -> list[list[list[int]]]:
        """Query, key and value of each head."""
        values = [nearest(value) for value in self.linear(f"layers.{index}.qkv", x)]
        size = self.config["dimension"] // self.config["heads"]
        heads = [values[start : start + size] for start in range(0, len(values), size)]
        count = self.config["heads"]
        return [heads[:count], heads[count : 2 * count], heads[2 * count :]]

    def attend(self, index: int, x: list[int]) -> list[int]:
        query, *key_and_value = self.keys_and_values(index, x)
        memory = self.memory[index]
        memory.append(key_and_value)
        del memory[: -(self.config["window"] + 1)]
        table = self.tensors["attention_table"].tolist()
        scale = float(self.tensors[f"layers.{index}.score_scale"][0])
        mixed = []
        for head, own in enumerate(query):
            scores = [float(sum(a * b for a, b in zip(own, keys[head]))) * scale for keys, _ in memory]
            weights = [table[int(min(max(scores) - score, len(table) - 1))] for score in scores]
            for dimension in range(len(own)):
                total = sum(weight * values[head][dimension] for weight, (_, values) in zip(weights, memory))
                mixed.append(nearest(float(total) / float(sum(weights))))
        return mixed

    def hidden(self, previous: list[int]) -> list[int]:
        """From 1 + the codes of the frame before, or zeros."""
        embed, scale = self.tensors["embed"], self.tensors["embed_scale"].tolist()
        x = [0.0] * self.config["dimension"]
        for k, token in enumerate(previous):
            terms = [scale[k] * float(value) for value in embed[k, token].tolist()]
            x = terms if k == 0 else [a + b for a, b in zip(x, terms)]
        x = self.norm("norm_in", [nearest(value) for value in x])
        x = [a + b for a, b in zip(x, self.tensors["positions"][self.frame].tolist())]
        for index in range(self.config["layers"]):
            name = f"layers.{index}."
            y = [nearest(value) for value in self.linear(name + "out", self.attend(index, x))]
            x = self.norm(name + "norm1", [a + b for a, b in zip(x, y)])
            table = self.tensors[name + "gelu"].tolist()
            up = [table[int(min(max(value, 0.0), len(table) - 1))] for value in self.linear(name + "up", x)]
            y = [nearest(value) for value in self.linear(name + "down", up)]
            x = self.norm(name + "norm2", [a + b for a, b in zip(x, y)])
        self.frame += 1
        return x

    def counts(self, hidden: list[int], codes: list[int]) -> list[list[int]]:
        """Counts of every codebook; of the frame's own codes, those before each matter with `inner`."""
        table, result = self.tensors["count_table"].tolist(), []
        for k in range(len(codes)):
            if k and "inner" in self.tensors:
                step = int(self.tensors["inner_scale"][k - 1])
                row = self.tensors["inner"][k - 1, codes[k - 1]].tolist()
                hidden = [a + step * b for a, b in zip(hidden, row)]
            totals = product(self.tensors["head.weight"][k], hidden)
            scale, bias = self.tensors["head.scale"][k].tolist(), self.tensors["head.bias"][k].tolist()
            logits = [total * s + b for total, s, b in zip(totals, scale, bias)]
            largest = max(logits)
            result.append([table[int(min(largest - logit, len(table) - 1))] for logit in logits])
        return result
