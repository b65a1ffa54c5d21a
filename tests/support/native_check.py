"""Run as a program in an environment that chooses a build of the native library: what it computes, into a file.

    python native_check.py CASES.npz OUT.npz

For each case: its latents and wave; and, where a model streams, that they are the same for any chunks.
"""

import json
import sys

import numpy as np

from ecdc.codec.config import CodecConfig
from ecdc.codec.native import native_decoder, native_encoder
from ecdc.codec.native_quantizer import NativeQuantizer

SIZES = (1, 7, 320, 1000)


def chunked(network, signal: np.ndarray, size: int) -> np.ndarray:
    stream = network.stream()
    parts = [stream.step(signal[:, first : first + size]) for first in range(0, signal.shape[1], size)]
    return np.concatenate([*parts, stream.step(signal[:, :0], last=True)], axis=1)


def case(config: CodecConfig, arrays: dict[str, np.ndarray], wave: np.ndarray) -> dict[str, np.ndarray]:
    encoder, decoder = native_encoder(config, arrays), native_decoder(config, arrays)
    latents = encoder.whole([wave])[0]
    decoded = decoder.whole([arrays["latents"]])[0]
    # Together, and streams of another length between them: each is what it is alone.
    for together in encoder.whole([wave, wave[:, : len(wave[0]) // 2], wave])[::2]:
        np.testing.assert_array_equal(together, latents)
    if config.norm != "time_group_norm":
        for size in SIZES:
            np.testing.assert_array_equal(chunked(encoder, wave, size), latents)
            np.testing.assert_array_equal(chunked(decoder, arrays["latents"], size), decoded)
    quantizer = NativeQuantizer(arrays["quantizer.embed"])
    books = config.codebooks
    return {
        "latents": latents,
        "wave": decoded,
        "codes": quantizer.encode(arrays["latents"], books),
        "dequantized": quantizer.decode(quantizer.encode(arrays["latents"], books)),
        "beam": quantizer.search(arrays["latents"], books, 5, arrays["bits"], arrays["prices"]),
        "plain beam": quantizer.search(arrays["latents"], books, 3, None, None),
    }


def main() -> None:
    given = np.load(sys.argv[1])
    names = sorted({key.split("|")[0] for key in given.files})
    found = {}
    for name in names:
        arrays = {key.split("|")[1]: given[key] for key in given.files if key.split("|")[0] == name}
        config = CodecConfig.from_mapping(json.loads(str(arrays.pop("config"))))
        found |= {f"{name}|{key}": value for key, value in case(config, arrays, arrays.pop("input")).items()}
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
