"""Threads: any number gives the same bytes, samples and errors, in the same order."""

import io
import time

import numpy as np
import pytest
from conftest import TINY, TINY_STEREO, noise
from support.command import check, ecdc
from support.streams import damaged, decoded

from ecdc.errors import BitstreamError
from ecdc.native.threads import Ordered, cores
from ecdc.stream.compressor import Compressor
from ecdc.stream.decompressor import Decompressor, decompress

RATE = 24000


def made(threads: int, **options) -> bytes:
    compressor = Compressor(TINY, RATE, 1, 3, threads=threads, packet_seconds=0.3, **options)
    wave = noise(4 * RATE)[None, :, 0]
    parts = [compressor.push(wave[:, first : first + 5000]) for first in range(0, wave.shape[1], 5000)]
    return b"".join(parts) + compressor.flush()


@pytest.mark.parametrize("options", ({}, {"lm": False}, {"best": True}, {"live": True}))
def test_any_number_of_threads_gives_the_same_bytes(options):
    alone = made(1, **options)
    assert made(2, **options) == alone
    assert made(7, **options) == alone


@pytest.mark.parametrize("threads", (2, 5))
def test_any_number_of_threads_gives_the_same_samples(threads):
    data = made(1)
    decompressor = Decompressor(TINY, threads=threads)
    found = np.concatenate(list(decompress(io.BytesIO(data), decompressor)), axis=1)
    np.testing.assert_array_equal(found[0], decoded(data))


def test_segments_and_the_command(tmp_path, short_wav):
    for threads in (1, 3):
        check(ecdc("compress", "-m", TINY_STEREO, "-b", "3", "-T", threads, short_wav, tmp_path / f"{threads}.ecdc"))
        check(ecdc("decompress", "-m", TINY_STEREO, "-T", threads, tmp_path / "1.ecdc", tmp_path / f"{threads}.wav"))
    check(ecdc("test", "-m", TINY_STEREO, "-T", "2", tmp_path / "3.ecdc"))
    for suffix in ("ecdc", "wav"):
        first, second = ((tmp_path / f"{threads}.{suffix}").read_bytes() for threads in (1, 3))
        assert first == second


def test_errors_come_after_all_that_was_good():
    data, given, errors = damaged(made(1), 7), [], []
    for threads in (1, 4):
        decompressor, samples = Decompressor(TINY, threads=threads), 0
        with pytest.raises(BitstreamError) as error:
            for block in decompress(io.BytesIO(data), decompressor):
                samples += block.shape[1]
        given.append(samples)
        errors.append(str(error.value))
    assert given[0] == given[1] > RATE and errors[0] == errors[1]


def test_results_keep_the_order_of_the_work_and_few_wait():
    started, work = [], Ordered[int](2)

    def job(number: int) -> int:
        started.append(number)
        time.sleep(0.02 if number % 3 == 0 else 0.001)
        return number

    found = []
    for number in range(12):
        found += work.submit(lambda number=number: job(number))
        # Those that wait, and those whose results have come, are all that was submitted.
        assert number + 1 - len(found) <= 2 + 1
    assert found + list(work.finish()) == list(range(12))
    assert work.map([lambda number=number: job(number) for number in range(5)]) == list(range(5))


def test_an_error_in_a_thread_is_the_callers():
    work = Ordered[int](2)

    def fail() -> int:
        raise BitstreamError("damaged")

    with pytest.raises(BitstreamError, match="damaged"):
        list(work.submit(fail))
        list(work.finish())


def test_cores_are_those_that_may_be_used():
    assert 1 <= cores() <= 4096
