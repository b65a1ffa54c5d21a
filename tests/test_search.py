"""The search for codes: beams against all there is, what the search gains, and that nothing else changes."""

import io
import itertools

import numpy as np
import pytest
import soundfile
import torch
from conftest import MUSIC, TINY, TINY_STEREO, VOICE, check, noise, si_snr
from conftest import ecdc as command
from support.streams import packed

import ecdc
from ecdc.codec.beam import beam_search
from ecdc.entropy.model_coder import ModelCoder
from ecdc.models.registry import language_model
from ecdc.stream.edit import truncate


@pytest.mark.parametrize("size", (6, 32))
def test_wide_beams_find_the_best_of_all(size):
    generator = torch.Generator().manual_seed(size)
    embed = torch.randn(3 if size == 6 else 2, size, 4, generator=generator)
    latents = torch.randn(20, 4, generator=generator) * 2
    costs = torch.rand(20, len(embed), size, generator=generator) * 3
    for given in (None, costs):
        found = beam_search(embed, latents, size ** len(embed), given)
        for n, latent in enumerate(latents):

            def total(codes):
                spent = 0 if given is None else sum(float(given[n, k, code]) for k, code in enumerate(codes))
                return spent + float((latent - sum(embed[k, code] for k, code in enumerate(codes))).square().sum())

            best = min(itertools.product(range(size), repeat=len(embed)), key=total)
            assert total(found[n].tolist()) == pytest.approx(total(best), abs=1e-4)


def test_one_beam_is_the_nearest_entries_and_more_come_closer():
    codec = ecdc.load_model(None)
    data, _rate = soundfile.read(VOICE, dtype="float32", frames=48000)
    latents, _ = codec.latents(torch.from_numpy(data)[None, None])
    nearest = codec.quantizer.encode(latents, 8)
    flat, embed = latents[0].T, codec.quantizer.embed[:8]
    distances = []
    for width in (1, 2, 8):
        codes = beam_search(embed, flat, width).T[None]
        if width == 1:
            assert (codes != nearest).any(1).float().mean() < 0.02  # ties
        distances.append(float((codec.quantizer.decode(codes) - latents).square().mean()))
    assert distances[2] < 0.95 * distances[1] < 0.95 * distances[0]


NEAREST, SEARCHED, BEST = "nearest", "searched", "best"


def written(
    data: np.ndarray, rate: int, effort: str, model="ecdc_24khz", bandwidth: float = 6.0, lm: bool = True
) -> tuple[bytes, np.ndarray]:
    """A stream of `data` [T, C], and what is decoded from it."""
    stream = packed(
        ecdc.load_model(model), data.T, bandwidth, nearest=effort == NEAREST, rate=rate, lm=lm, best=effort == BEST
    )
    decoded, out_rate = ecdc.read(io.BytesIO(stream), model=model, always_2d=True)
    assert decoded.shape == data.shape and out_rate == rate
    return stream, decoded


@pytest.mark.parametrize(
    "path, model, bandwidth",
    ((VOICE, "ecdc_24khz", 1.5), (VOICE, "ecdc_24khz", 6), (MUSIC, "ecdc_24khz", 6), (MUSIC, "ecdc_48khz", 6)),
)
def test_fewer_bits_for_closer_sound(path, model, bandwidth):
    data, rate = soundfile.read(path, dtype="float32", always_2d=True)
    streams, nearness = zip(
        *(
            (stream, si_snr(data.mean(1), decoded.mean(1)))
            for stream, decoded in (
                written(data, rate, effort, model, bandwidth) for effort in (NEAREST, SEARCHED, BEST)
            )
        )
    )
    assert len(streams[1]) < 0.98 * len(streams[0]) and nearness[1] > nearness[0]
    # As wide as the widest beams are those of two codebooks.
    assert len(streams[2]) < len(streams[1]) and nearness[2] > nearness[0]


def test_without_a_language_model_only_the_best_is_searched():
    data, rate = soundfile.read(VOICE, dtype="float32", always_2d=True)
    (plain, decoded), (same, _), (best, closer) = (
        written(data, rate, effort, lm=False) for effort in (NEAREST, SEARCHED, BEST)
    )
    assert plain == same and len(best) == len(plain)
    assert si_snr(data[:, 0], closer[:, 0]) > si_snr(data[:, 0], decoded[:, 0]) + 0.1


def test_quiet_parts_do_not_pay_for_loud_ones():
    data, rate = soundfile.read(VOICE, dtype="float32", frames=80000, always_2d=True)
    data[40000:] *= 10 ** (-30 / 20)
    quiet = slice(42000, None)
    nearest, decoded = written(data, rate, NEAREST)
    for effort in (SEARCHED, BEST):
        stream, searched = written(data, rate, effort)
        assert len(stream) < 0.95 * len(nearest)
        assert si_snr(data[quiet, 0], searched[quiet, 0]) > si_snr(data[quiet, 0], decoded[quiet, 0]) - 1.5


@pytest.mark.parametrize("path", (VOICE, MUSIC))
def test_truncated_it_is_no_worse_than_nearest_entries(path):
    data, rate = soundfile.read(path, dtype="float32", always_2d=True)
    searched, _ = written(data, rate, SEARCHED, bandwidth=6)
    truncate(io.BytesIO(searched), lower := io.BytesIO(), 3)
    nearest, decoded = written(data, rate, NEAREST, bandwidth=3)
    lowered = ecdc.read(io.BytesIO(lower.getvalue()), always_2d=True)[0]
    assert len(lower.getvalue()) < len(nearest)
    assert si_snr(data[:, 0], lowered[:, 0]) > si_snr(data[:, 0], decoded[:, 0])


@pytest.mark.parametrize(
    "model, channels, options",
    ((TINY, 1, {}), (TINY, 1, {"lm": False}), (TINY, 1, {"live": True, "packet_seconds": 0.1}), (TINY_STEREO, 2, {})),
)
def test_sizes_pushed_do_not_matter(model, channels, options):
    wave, streams = noise(70_000, channels).T, []
    for step in (70_000, 1234):
        compressor = ecdc.Compressor(ecdc.load_model(model), 24000, channels, 3.0, best=True, **options)
        streams.append(
            b"".join(compressor.push(wave[:, first : first + step]) for first in range(0, wave.shape[1], step))
            + compressor.flush()
        )
    assert streams[0] == streams[1]
    assert ecdc.read(io.BytesIO(streams[0]), model=model, always_2d=True)[0].shape == wave.T.shape
    truncate(io.BytesIO(streams[0]), lower := io.BytesIO(), 1.5 if model == TINY else 3.0, model)
    assert ecdc.read(io.BytesIO(lower.getvalue()), model=model, always_2d=True)[0].shape == wave.T.shape


@pytest.mark.parametrize("folder", (TINY, "ecdc_24khz"))
def test_counts_are_the_coders_and_leave_its_context(folder):
    model = language_model(ecdc.load_model(folder))
    codes = np.random.default_rng(0).integers(0, 1024, (4, 30)).astype(np.int32)
    asked, other = ModelCoder(model, 4), ModelCoder(model, 4)
    for index, part in enumerate(np.split(codes, 3, axis=1)):
        bits = 0.0
        for first, counts in asked.counts(part, index == 0):
            chosen = np.take_along_axis(counts, part.T[first : first + len(counts), :, None], 2)
            bits += float(np.log2(counts.sum(2, keepdims=True) / chosen).sum())
        payload = asked.encode(part, index == 0)
        assert payload == other.encode(part, index == 0)
        assert bits <= 8 * len(payload) + 1 and 8 * len(payload) <= 1.002 * bits + 64


def test_a_file_and_a_pipe_give_the_same_bytes(tmp_path):
    check(command("compress", "--best", VOICE, tmp_path / "a.ecdc"))
    piped = check(command("compress", "--best", "-", "-", input=VOICE.read_bytes())).stdout
    assert piped == (tmp_path / "a.ecdc").read_bytes()
    assert len(check(command("decompress", tmp_path / "a.ecdc", "-")).stdout) > 100_000
