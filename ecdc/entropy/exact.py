"""Arithmetic with the same result, to the last bit, on every machine.

All numbers are float64. Matrix products multiply integers whose partial sums stay below
2^53, so they are exact in any order, with any BLAS, thread count or batch size. All else
uses only operations that IEEE 754 rounds correctly (+, -, x, /, sqrt, floor, comparison),
each as its own step over single elements, and look-ups in integer tables. No function of
a maths library is called here, and no sum is taken of anything but integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Integers carried from layer to layer fit 16 bits: the largest product sum is then below 2^40.
LIMIT = 32767.0


class Linear(NamedTuple):
    """`weight` [in, out]: integers; `scale`, `bias` [out]: from product sums to the output's units."""

    weight: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


class Norm(NamedTuple):
    """`gain`, `bias` [D] in the output's units; `epsilon`: an integer."""

    gain: np.ndarray
    bias: np.ndarray
    epsilon: float


def affine(x: np.ndarray, linear: Linear) -> np.ndarray:
    """x [..., in] times the weight, brought to the output's units, not yet rounded."""
    rows = x.reshape(-1, x.shape[-1]) @ linear.weight
    rows *= linear.scale
    rows += linear.bias
    return rows.reshape(*x.shape[:-1], -1)


def rounded(x: np.ndarray) -> np.ndarray:
    """To the nearest integer (halves up) within the limit, in place."""
    x += 0.5
    np.floor(x, out=x)
    return np.clip(x, -LIMIT, LIMIT, out=x)


def normalised(x: np.ndarray, norm: Norm) -> np.ndarray:
    """Layer norm of integers [..., D], to integers. Mean and variance are exact, as integers times D and D^2."""
    dimension = float(x.shape[-1])
    ones = np.ones(x.shape[-1])
    total = (x @ ones)[..., None]
    squares = ((x * x) @ ones)[..., None]
    variance = dimension * squares - total * total + norm.epsilon
    y = dimension * x - total
    y *= 1.0 / np.sqrt(variance)
    y *= norm.gain
    y += norm.bias
    return rounded(y)


def looked_up(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`table` at floor(x), for 0 <= x < 2^63; beyond its end the last entry."""
    return table.take(x.astype(np.int64), mode="clip")


def decayed(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`table` at the distance of each entry from the largest of its row, in place: softmax but for the division."""
    np.subtract(x.max(-1, keepdims=True), x, out=x)
    return looked_up(x, table)
