"""What keeps the exact language model exact: no inexact function in its path, one conversion on every machine."""

import ast
import os
import subprocess
import sys

import pytest
from conftest import ROOT

EXACT_PATH = ("exact.py", "language_model.py", "model_coder.py", "range_coder.py", "reference_coder.py")
ALLOWED = {
    # containers and integers
    "ndarray",
    "zeros",
    "empty",
    "ones",
    "array",
    "arange",
    "stack",
    "concatenate",
    "ascontiguousarray",
    "frombuffer",
    "int16",
    "int32",
    "int64",
    "uint32",
    "float64",
    # sums of integers, one after another
    "cumsum",
    # rounded correctly, or no arithmetic at all
    "floor",
    "sqrt",
    "subtract",
    "minimum",
    "maximum",
    "clip",
    "intp",
    "where",
}
FORBIDDEN = {
    "exp",
    "exp2",
    "log",
    "log2",
    "tanh",
    "erf",
    "pow",
    "power",
    "softmax",
    "gelu",
    "rsqrt",
    "reciprocal",
    "layer_norm",
    "mean",
    "var",
    "std",
    "sum",
    "einsum",
    "dot",
    "float32",
    "float16",
    "fma",
    "addmm",
    "torch",
    "scipy",
    "math",
}


@pytest.mark.parametrize("name", EXACT_PATH)
def test_nothing_inexact_in_the_exact_path(name):
    tree = ast.parse((ROOT / "ecdc" / "entropy" / name).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "np":
                assert node.attr in ALLOWED, f"{name}:{node.lineno}: np.{node.attr}"
            assert node.attr not in FORBIDDEN, f"{name}:{node.lineno}: {node.attr}"
        elif isinstance(node, ast.Name):
            assert node.id not in FORBIDDEN, f"{name}:{node.lineno}: {node.id}"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                assert alias.name.split(".")[0] not in FORBIDDEN
        elif isinstance(node, ast.BinOp):
            assert not isinstance(node.op, ast.Pow) or isinstance(node.left, ast.Constant)


CONVERT = """
import numpy, torch
from ecdc.entropy.convert import convert
from ecdc.entropy.float_model import FloatLanguageModel
random = numpy.random.RandomState(3)
model = FloatLanguageModel(4, 64, dimension=32, layers=2, heads=4, hidden=64, window=50)
state = {name: torch.from_numpy(random.randint(-127, 128, tensor.shape) / 256.0).float()
         for name, tensor in sorted(model.state_dict().items())}
model.load_state_dict(state)
print(convert(model.eval(), 100).fingerprint.hex())
"""
CONVERTED = "9ff6f7bc9438137a"


@pytest.mark.parametrize(
    "variables",
    (
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "2"},
        {"ATEN_CPU_CAPABILITY": "default"},
        {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3", "MKL_CBWR": "COMPATIBLE"},
    ),
    ids=str,
)
def test_an_imported_language_model_is_the_same_everywhere(variables):
    """Its integers define streams: neither another machine nor a later version may change one of them."""
    done = subprocess.run(
        [sys.executable, "-c", CONVERT], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **variables}
    )
    assert done.stdout.strip() == CONVERTED, done.stderr
