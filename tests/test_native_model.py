"""The exact language model in the native library equals NumPy, to the last bit: every build, any packets, any bytes."""

import os
import shutil
import subprocess
import sys
import weakref

import numpy as np
import pytest
from conftest import ROOT
from support.random_models import random_model

from ecdc.entropy.language_model import LanguageModel
from ecdc.entropy.model_coder import ModelCoder
from ecdc.entropy.native_model import NativeSteps, steps_for
from ecdc.entropy.steps import ReferenceSteps
from ecdc.errors import BitstreamError
from ecdc.models import language_model, load_engine
from ecdc.native import library
from ecdc.native.calls import address, declared

pytestmark = pytest.mark.skipif(not library.variants(), reason="no native library: there was no compiler")

EXTREME = {"extreme": True, "dimension": 32, "heads": 4}
RANDOM = {
    "odd": {"dimension": 18, "heads": 3, "codebook_size": 37},
    "extreme": {**EXTREME, "codebook_size": 64},
    "extreme, odd codes": {**EXTREME, "heads": 16, "codebook_size": 41},
    "two codes": {"codebook_size": 2, "dimension": 14, "heads": 1},
    "many codes, short window": {"codebook_size": 1500, "dimension": 12, "heads": 1, "window": 1},
}
MACHINES = {
    "baseline": [],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512"],
}
NAMES = (*RANDOM, "ecdc_24khz", "ecdc_48khz")


@pytest.fixture(scope="module", params=library.variants())
def build(request):
    return declared(library._open(request.param))


@pytest.fixture(scope="module")
def cases():
    """Models, and codes for them; those of the bundled ones come from their own streams' kind of audio: noise."""
    random, found = np.random.default_rng(0), {}
    for seed, (name, arguments) in enumerate(RANDOM.items()):
        model = random_model(seed, **{"extreme": False, "inner": False, **arguments})
        found[name] = model, random.integers(0, model.codebook_size, (model.codebooks, 100)).astype(np.int32)
    for name in ("ecdc_24khz", "ecdc_48khz"):
        engine = load_engine(name)
        latents = random.standard_normal((engine.config.dimension, 200)).astype(np.float32).cumsum(1)
        found[name] = language_model(engine), engine.quantized(latents, 5)
    return found


def both(model: LanguageModel, build, books: int) -> tuple[ModelCoder, ModelCoder]:
    return ModelCoder(model, books, NativeSteps(model, build)), ModelCoder(model, books, ReferenceSteps(model))


@pytest.mark.parametrize("name", NAMES)
def test_hidden_states_counts_and_costs_are_numpys(build, cases, name):
    model, codes = cases[name]
    native, reference = NativeSteps(model, build), ReferenceSteps(model)
    tokens = np.concatenate([np.zeros((len(codes), 1), np.int64), 1 + codes[:, :-1]], axis=1)[None]
    frames = codes.shape[1]
    expected = reference.advance(tokens, reference.start(1, len(codes), frames))[0]
    for step in (1, 13, frames):
        context = native.start(1, len(codes), step)
        for first in range(0, frames, step):
            part = slice(first, first + step)
            np.testing.assert_array_equal(native.advance(tokens[:, :, part], context)[0], expected[part])
    rows = codes.T[:40]
    np.testing.assert_array_equal(native.counts(expected[:40], rows), reference.counts(expected[:40], rows))
    bits = native.bits(expected[:40], rows)
    np.testing.assert_allclose(bits, reference.bits(expected[:40], rows), rtol=3e-7, atol=1e-6)
    np.testing.assert_array_equal(native.bits(expected[20:40], rows[20:]), bits[20:])


@pytest.mark.parametrize("name", NAMES)
def test_bytes_and_codes_are_numpys(build, cases, name):
    """Continuing packets, plain ones between them; batches of unequal lengths in any number of threads."""
    model, codes = cases[name]
    decoder, _ = both(model, build, len(codes))
    coders = both(model, build, len(codes))
    for index, part in enumerate(np.split(codes, np.cumsum([9, 1, 40, 2]), axis=1)):
        payload, expected = (coder.encode(part, key=index == 0) for coder in coders)
        assert payload == expected
        if index == 2:
            decoder.follow(part, key=False)
        elif index:
            np.testing.assert_array_equal(decoder.decode(payload, part.shape[1]), part)
        else:
            np.testing.assert_array_equal(decoder.decode_batch([payload], [9])[0], part)
    lengths = [5, 30, 1, 17, 30, 8, 2]
    batch = [codes[:, index : index + length] for index, length in enumerate(lengths)]
    payloads = coders[0].encode_batch(batch)
    assert payloads == coders[1].encode_batch(batch)
    for threads in (1, 3):
        coder = ModelCoder(model, len(codes), NativeSteps(model, build), threads)
        for part, decoded in zip(batch, coder.decode_batch(payloads, lengths)):
            np.testing.assert_array_equal(decoded, part)


def test_windows_that_overflow_keep_what_they_need(build, cases):
    """A frame at a time, far beyond the room that a context begins with; looking ahead leaves the context."""
    model, codes = cases["ecdc_24khz"]
    small = LanguageModel({**model.config, "window": 21}, model.tensors)
    decoder, _ = both(small, build, len(codes))
    native, reference = both(small, build, len(codes))
    for frame in range(150):
        part = codes[:, frame : frame + 1]
        if frame % 50 == 1:
            costs = [next(coder.bits(part, key=False))[1] for coder in (native, reference)]
            np.testing.assert_allclose(*costs, rtol=3e-7, atol=1e-6)
        payload = reference.encode(part, key=frame == 0)
        assert native.encode(part, key=frame == 0) == payload
        decoded = decoder.decode(payload, 1) if frame else decoder.decode_batch([payload], [1])[0]
        np.testing.assert_array_equal(decoded, part)


@pytest.mark.parametrize("books", (1, 32))
def test_one_codebook_and_all_of_them(build, cases, books):
    native, reference = both(cases["ecdc_24khz"][0], build, books)
    codes = np.random.default_rng(books).integers(0, 1024, (books, 7)).astype(np.int32)
    payload = reference.encode(codes, key=True)
    assert native.encode(codes, key=True) == payload
    np.testing.assert_array_equal(native.decode_batch([payload], [7])[0], codes)


def outcome(coder: ModelCoder, data: bytes, frames: int):
    try:
        return coder.decode_batch([data], [frames])[0].tolist()
    except BitstreamError as error:
        return str(error)


@pytest.mark.parametrize("name", ("odd", "extreme, odd codes", "many codes, short window"))
def test_damaged_payloads_have_the_same_outcome(build, cases, name):
    model, codes = cases[name]
    native, reference = both(model, build, len(codes))
    random, good, seen = np.random.default_rng(1), native.encode(codes[:, :12], key=True), set()
    for trial in range(60):
        data = bytearray(random.bytes(random.integers(0, 2 * len(good))) if trial % 2 else good)
        if trial % 2 == 0:
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        given = bytes(data) if trial % 3 else b"\xff" * (trial // 3)
        expected = outcome(reference, given, 12)
        assert outcome(native, given, 12) == expected
        seen.add(expected if isinstance(expected, str) else "decoded")
    assert len(seen) >= 2


def test_codes_and_codebooks_that_no_model_knows_are_errors(build, cases):
    model, _ = cases["odd"]
    native, _ = both(model, build, 3)
    for wrong in (-2, model.codebook_size):
        with pytest.raises(BitstreamError, match="codebook"):
            native.encode(np.full((3, 4), wrong, np.int32), key=True)
    with pytest.raises(BitstreamError, match="codebooks"):
        both(model, build, 4)[0].encode(np.zeros((4, 2), np.int32), key=True)
    native.encode(np.zeros((3, 100), np.int32), key=True)
    with pytest.raises(BitstreamError, match="without a key packet"):
        native.encode(np.zeros((3, 1), np.int32), key=False)


def changed(model: LanguageModel, tensors: dict[str, np.ndarray]) -> LanguageModel:
    return LanguageModel(model.config, {**model.tensors, **tensors})


def test_models_beyond_what_the_library_takes_run_in_numpy(cases):
    model, codes = cases["odd"]
    assert type(steps_for(model)) is NativeSteps
    tensors = model.tensors
    for other in (
        random_model(0, extreme=False, inner=True),
        random_model(0, extreme=False, inner=False, dimension=15, heads=5),
        changed(model, {"head.weight": tensors["head.weight"].astype(np.int16) * 10}),
        changed(model, {"embed": tensors["embed"].astype(np.int16) * 10}),
        changed(model, {"count_table": tensors["count_table"].astype(np.int64) << 20}),
    ):
        assert type(steps_for(other)) is ReferenceSteps
        payload = ModelCoder(other, 3).encode(codes[:, :10], key=True)
        np.testing.assert_array_equal(ModelCoder(other, 3).decode_batch([payload], [10])[0], codes[:, :10])


def test_activations_beyond_16_bits_are_exact_as_well(build, cases):
    """Residuals after the positions, and the GELU's table: these take the long way."""
    model, codes = cases["odd"]
    tensors = model.tensors
    other = changed(
        model,
        {
            "positions": np.full(tensors["positions"].shape, 32767, np.int16),
            "layers.0.gelu": tensors["layers.0.gelu"] * 40,
            "layers.1.gelu": np.full(3000, 1 << 17, np.int32),
        },
    )
    native, reference = both(other, build, 3)
    assert native.encode(codes, key=True) == reference.encode(codes, key=True)


def test_an_address_keeps_its_array():
    """One that is made for a call must not go before the library reads it, whatever other threads allocate."""
    array = np.zeros(3)
    alive = weakref.ref(array)
    pointer = address(array)
    del array
    assert alive() is not None
    del pointer
    assert alive() is None


@pytest.mark.slow
@pytest.mark.parametrize("variant", library.variants())
def test_no_read_beyond_memory_and_nothing_undefined(tmp_path, variant):
    """The sources under AddressSanitizer and UndefinedBehaviorSanitizer."""
    compiler = shutil.which("gcc")
    asan = compiler and subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True)
    if not asan or not os.path.isabs(asan.stdout.strip()):
        pytest.skip("no GCC with AddressSanitizer")
    built = tmp_path / "sanitized.so"
    flags = [
        "-std=c11",
        "-O1",
        "-g",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
        "-Wno-psabi",
        "-fno-sanitize-recover=all",
    ]
    flags += ["-fsanitize=address,undefined,float-cast-overflow", *MACHINES[variant]]
    sources = sorted((ROOT / "ecdc" / "native" / "src").glob("*.c"))
    subprocess.run([compiler, *flags, *sources, "-lm", "-o", built], check=True)
    environment = {
        **os.environ,
        "LD_PRELOAD": asan.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
    }
    program = ROOT / "tests" / "support" / "sanitized_check.py"
    done = subprocess.run([sys.executable, program, built], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr
