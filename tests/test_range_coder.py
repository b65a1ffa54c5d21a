"""The reference range coder, word for word against constriction, where that is installed."""

import numpy as np
import pytest
from conftest import GOLDEN, TINY, TINY_STEREO

import ecdc
from ecdc.entropy import range_coder, reference_coder
from ecdc.entropy.reference_coder import Decoder, Encoder
from ecdc.errors import BitstreamError

SIZES = (2, 3, 64, 1024, 5000)


def rows(random, kind, count, size):
    """Counts [count, size] of some kind, from even to those that only one symbol has a chance with."""
    if kind == "even":
        return np.ones((count, size))
    if kind == "steep":
        counts = np.ones((count, size))
        counts[np.arange(count), random.integers(0, size, count)] = 2.0**20
        return counts
    if kind == "huge":
        return np.floor(random.random((count, size)) * 2.0**40) + 1
    return np.floor(2.0 ** (20 * random.random((count, size)) ** 6))


@pytest.mark.parametrize("kind", ("even", "steep", "huge", "mixed"))
@pytest.mark.parametrize("size", SIZES)
def test_word_for_word_as_constriction(kind, size):
    stream = pytest.importorskip("constriction").stream
    family = stream.model.Categorical(perfect=False)
    for seed in range(12):
        random = np.random.default_rng([seed, size])
        count = int(random.integers(1, 60))
        counts = rows(random, kind, count, size)
        likely = seed % 3 and kind != "huge"
        symbols = (counts.argmax(1) if likely else random.integers(0, size, count)).astype(np.int32)
        # The ends of the range, where a carry runs through words of ones.
        symbols[:: seed + 2] = size - 1 if seed % 2 else 0
        theirs, ours = stream.queue.RangeEncoder(), Encoder()
        theirs.encode(symbols, family, counts)
        ours.push(symbols, counts)
        words = theirs.get_compressed()
        assert ours.words() == words.tolist() and ours.words() == words.tolist()
        decoder, exact = Decoder(words), stream.queue.RangeDecoder(words)
        for row, symbol in zip(counts, symbols):
            assert decoder.pull(row[None]).tolist() == [symbol] == exact.decode(family, row[None]).tolist()
            assert decoder.maybe_exhausted() == exact.maybe_exhausted()


def test_any_words_mean_the_same():
    """Damage too: the same symbols, the same end, the same refusal."""
    stream = pytest.importorskip("constriction").stream
    family = stream.model.Categorical(perfect=False)
    refused = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        words = random.integers(0, 2**32, seed % 7, dtype=np.uint32)
        counts = rows(random, "mixed", 30, 100)
        ours, theirs = Decoder(words), stream.queue.RangeDecoder(words)
        for row in counts:
            try:
                expected = theirs.decode(family, row[None]).tolist()
            except AssertionError:
                refused += 1
                with pytest.raises(BitstreamError):
                    ours.pull(row[None])
                break
            assert ours.pull(row[None]).tolist() == expected and ours.maybe_exhausted() == theirs.maybe_exhausted()
    assert Encoder().words() == []


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.ecdc")))
def test_golden_streams_without_constriction(name, monkeypatch):
    model = TINY_STEREO if "stereo" in name else TINY
    expected, _ = ecdc.read(GOLDEN / f"{name}.ecdc", model=model)
    monkeypatch.setattr(range_coder, "_coders", lambda: reference_coder)
    np.testing.assert_array_equal(ecdc.read(GOLDEN / f"{name}.ecdc", model=model)[0], expected)
