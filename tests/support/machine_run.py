"""Decodes golden streams to their codes, for test_machines.py to run where there is no PyTorch.

Argument: the folder of golden streams. Prints the order and size of the machine's words, and each stream's digest of
its codes. Nothing of PyTorch takes part: its module, which is imported beside what is needed, is an empty one here.
"""

import hashlib
import json
import sys
import types
from pathlib import Path

torch = types.ModuleType("torch")
torch.Tensor = object
sys.modules["torch"] = torch

import numpy as np  # noqa: E402

from ecdc.bitstream import Packet, StreamParser  # noqa: E402
from ecdc.codec.config import CodecConfig  # noqa: E402
from ecdc.entropy import PLAIN  # noqa: E402
from ecdc.entropy.language_model import LanguageModel  # noqa: E402
from ecdc.entropy.payload import PayloadCoder  # noqa: E402

# Of safetensors, which Debian has not for these machines: all little-endian.
DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}


def language_model(path: Path) -> LanguageModel:
    data = path.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:size])
    metadata, tensors = header.pop("__metadata__"), {}
    for name, entry in header.items():
        first, end = entry["data_offsets"]
        values = np.frombuffer(data[size + first : size + end], DTYPES[entry["dtype"]])
        tensors[name] = values.astype(values.dtype.newbyteorder("=")).reshape(entry["shape"])
    return LanguageModel(json.loads(metadata["config"]), tensors)


def digest(stream: Path) -> str:
    parser = StreamParser()
    packets = [part for part in parser.push(stream.read_bytes()) if isinstance(part, Packet)]
    parser.close()
    header = parser.header
    folder = stream.parent / header.model
    config = CodecConfig.from_mapping(json.loads((folder / "config.json").read_text()))
    model = None if header.entropy == PLAIN else language_model(folder / "exact_lm.safetensors")
    if model is not None and model.fingerprint != header.entropy_fingerprint:
        sys.exit(f"{stream.name}: the model has another fingerprint here")
    coder = PayloadCoder(config, header.n_codebooks, model, header.envelope_frames, header.prompt)
    blocks = [block for decoded in coder.decode(packets) for block in decoded]
    codes = np.concatenate([block.codes for block in blocks], axis=1)
    return hashlib.sha256(codes.astype("<i4").tobytes()).hexdigest()


if __name__ == "__main__":
    print(sys.byteorder, 64 if sys.maxsize > 2**32 else 32)
    for path in sorted(Path(sys.argv[1]).glob("*.ecdc")):
        print(path.name, digest(path))
