"""Codes to bytes and back in a process of its own, for test_exact.py to run under many settings.

Prints the digest of all counts' effects: the bytes of every packet. Arguments: the model
folder, a file of codes [K, T], the batch size.
"""

import hashlib
import sys

import numpy as np

from ecdc.entropy.model_coder import ModelCoder
from ecdc.models import language_model, load_model


def main(folder: str, path: str, batch: int) -> None:
    codes = np.load(path)
    packets = np.array_split(codes, 6, axis=1)
    coder = ModelCoder(language_model(load_model(folder)), len(codes))
    digest = hashlib.sha256()
    for start in range(0, len(packets), batch):
        group = packets[start : start + batch]
        payloads = coder.encode_batch(group)
        decoded = coder.decode_batch(payloads, [part.shape[1] for part in group])
        if not all(np.array_equal(*pair) for pair in zip(group, decoded)):
            sys.exit("decoded codes differ")
        for payload in payloads:
            digest.update(payload)
    print(digest.hexdigest())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
