"""Run as a program with a library that was built with sanitizers: what the exact model does with codes and any bytes.

python sanitized_check.py LIBRARY
"""

import ctypes
import sys

import numpy as np

from ecdc.entropy.model_coder import ModelCoder
from ecdc.entropy.native_model import NativeSteps
from ecdc.errors import BitstreamError
from ecdc.native.calls import declared
from support.random_models import random_model

SHAPES = (
    {"dimension": 18, "heads": 3, "codebook_size": 37},
    {"extreme": True, "dimension": 32, "heads": 4, "codebook_size": 64},
    {"codebook_size": 1500, "dimension": 12, "heads": 1, "window": 1},
)


def main() -> None:
    build, random, refused = declared(ctypes.CDLL(sys.argv[1])), np.random.default_rng(0), 0
    for seed, arguments in enumerate(SHAPES):
        model = random_model(seed, **{"extreme": False, "inner": False, **arguments})
        steps = NativeSteps(model, build)
        codes = random.integers(0, model.codebook_size, (3, 100)).astype(np.int32)
        encoder, decoder = ModelCoder(model, 3, steps), ModelCoder(model, 3, steps)
        payloads = encoder.encode_batch([codes[:, :length] for length in (40, 7, 1)])
        decoder.decode_batch(payloads, [40, 7, 1])
        for first in range(0, 96, 3):
            part, key = codes[:, first : first + 3], first == 0
            list(encoder.bits(part, key))
            payload = encoder.encode(part, key)
            assert key or np.array_equal(decoder.decode(payload, 3), part)
            if key:
                decoder.follow(part, key)
        for length in range(40):
            try:
                decoder.decode_batch([random.bytes(length)], [12])
            except BitstreamError:
                refused += 1
    assert refused > 20
    print("done")


if __name__ == "__main__":
    main()
