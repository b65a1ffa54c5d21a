"""truncate, cat, cut: what comes out is what coding at that rate, or those packets, would have given."""

import contextlib
import io

import numpy as np
import pytest
import soundfile
from conftest import MUSIC, TINY, TINY_STEREO, VOICE, check, noise
from conftest import ecdc as command
from support import streams

import ecdc
from ecdc.errors import BitstreamError, EcdcError
from ecdc.stream.edit import cut, join, truncate


def packed(wave, rate, model, bandwidth, known=True, **options) -> bytes:
    """A stream of `wave` [T, C]."""
    return streams.packed(
        ecdc.load_model(model), wave.T, bandwidth, rate=rate, samples=len(wave) if known else None, **options
    )


def decoded(data: bytes, model, **options) -> np.ndarray:
    return ecdc.read(io.BytesIO(data), model=model, always_2d=True, **options)[0]


@pytest.mark.parametrize("known", (True, False))
@pytest.mark.parametrize(
    "model, channels, options",
    (
        (TINY, 1, {}),
        (TINY, 1, {"lm": False}),
        (TINY, 1, {"packet_seconds": 0.1, "live": True}),
        (TINY_STEREO, 2, {"packet_seconds": 2.0}),
        (TINY, 2, {"tags": {"title": "x"}}),
    ),
)
def test_truncated_is_compressed_at_that_rate(model, channels, options, known):
    wave = noise(70_000, channels)
    rates = [1.5, 3.0] if model == TINY else [3.0, 6.0]
    high = packed(wave, 24000, model, rates[1], known, nearest=True, **options)
    out = io.BytesIO()
    truncate(io.BytesIO(high), out, rates[0], model)
    assert out.getvalue() == packed(wave, 24000, model, rates[0], known, nearest=True, **options)
    with pytest.raises(EcdcError, match="cannot be raised"):
        truncate(io.BytesIO(out.getvalue()), io.BytesIO(), rates[1], model)


def joined(*streams: bytes, model) -> bytes:
    out = io.BytesIO()
    join((contextlib.nullcontext(io.BytesIO(data)) for data in streams), out, model)
    return out.getvalue()


@pytest.mark.parametrize("rate", (24000, 44100, 16000))
@pytest.mark.parametrize("model, channels", ((TINY, 1), (TINY_STEREO, 2)))
def test_joined(model, channels, rate):
    """Each part sounds as it does alone, apart from what the decoder remembers of the one before."""
    parts = [
        packed(noise(length, channels, seed), rate, model, 3.0, lm=False, packet_seconds=1.0)
        for seed, length in enumerate((50_000, 7, 31_234))
    ]
    data = joined(*parts, model=model)
    whole, alone = decoded(data, model), [decoded(part, model) for part in parts]
    assert sum(map(len, alone)) <= len(whole) <= sum(map(len, alone)) + 2 * (320 + 8) * rate // 24000
    np.testing.assert_allclose(whole[:40_000], alone[0][:40_000], atol=1e-4)
    # Joining is associative, and the same in one go or two.
    assert decoded(joined(joined(*parts[:2], model=model), parts[2], model=model), model).shape == whole.shape
    # At the model's rate, for the parts begin anywhere between two samples of another; the length is rounded there.
    whole, last = decoded(data, model, native=True)[-15_000:-2], decoded(parts[2], model, native=True)[-15_002:]
    assert min((whole - last[shift:][: len(whole)]).std() for shift in range(5)) < 0.02 * last.std()


def test_a_short_segment_may_come_before_longer_ones():
    first, second = (
        packed(noise(count, 2, seed=count), 48000, TINY_STEREO, 3.0, lm=False) for count in (20_000, 120_000)
    )
    out = joined(first, second, model=TINY_STEREO)
    wave, alone = decoded(out, TINY_STEREO), decoded(second, TINY_STEREO)
    assert len(wave) == 20_160 + 120_000
    np.testing.assert_allclose(wave[:20_000], decoded(first, TINY_STEREO), atol=1e-6)
    np.testing.assert_allclose(wave[20_160:], alone, atol=1e-6)


def test_one_stream_joined_is_itself():
    wave = noise(50_000)
    data = packed(wave, 24000, TINY, 3.0, known=False)
    assert joined(data, model=TINY) == data


def test_what_cannot_be_joined():
    wave = noise(5_000)
    good = packed(wave, 24000, TINY, 3.0)
    for other, message in (
        (packed(wave, 24000, TINY, 1.5), "n codebooks"),
        (packed(wave, 16000, TINY, 3.0), "source rate"),
        (packed(wave, 24000, TINY, 3.0, lm=False, packet_seconds=2), "entropy"),
        (good[:-30], "cut off"),
        (packed(wave, 24000, TINY, 3.0, packet_seconds=0.2), "packet frames"),
    ):
        with pytest.raises(EcdcError, match=message):
            joined(good, other, model=TINY)
    with pytest.raises(EcdcError, match="nothing"):
        joined(model=TINY)


@pytest.mark.parametrize("options", ({"lm": False}, {"live": True, "packet_seconds": 0.1}, {"packet_seconds": 1.0}))
@pytest.mark.parametrize("start, duration", ((0, None), (0, 0.5), (2.2, 1.0), (3.0, None), (5.9, None)))
@pytest.mark.parametrize("model, channels", ((TINY, 1), (TINY_STEREO, 2)))
def test_cut(model, channels, start, duration, options):
    rate = 44100
    wave = noise(6 * rate, channels)
    data = packed(wave, rate, model, 3.0, **options)
    out = io.BytesIO()
    found = cut(io.BytesIO(data), out, start, duration, model)
    assert found.start <= start and (found.end >= start + duration if duration else found.end == 6.0)
    part, whole = decoded(out.getvalue(), model), decoded(data, model)
    assert len(part) == round((found.end - found.start) * rate)
    first = round(found.start * rate)
    expected = whole[first : first + len(part)]
    # The decoder begins without a memory, and the last segment without a neighbour.
    inner = slice(len(part) // 2 if found.start else 0, len(part) - 2_000)
    assert np.abs(part[inner] - expected[inner]).std() < 0.05 * whole.std()


def test_commands(tmp_path):
    a, b, out = tmp_path / "a.ecdc", tmp_path / "b.ecdc", tmp_path / "out.ecdc"
    data, rate = soundfile.read(VOICE)
    ecdc.write(a, np.tile(data, 2), rate, 6, lm=False)
    check(command("truncate", a, b, "-b", "3"))
    assert check(command("truncate", "-", "-", "-b", "3", input=a.read_bytes())).stdout == b.read_bytes()
    direct = io.BytesIO()
    ecdc.write(direct, np.tile(data, 2), rate, 3, lm=False)
    assert b.read_bytes() == direct.getvalue()
    check(command("cat", a, a, "-o", out))
    check(command("test", out))
    assert 2 * 14.2 <= ecdc.info(out).duration < 2 * 14.2 + 0.02
    check(command("cut", out, tmp_path / "cut.ecdc", "--start", "6", "--duration", "1"))
    assert ecdc.info(tmp_path / "cut.ecdc").duration == pytest.approx(5, abs=0.01)
    before = out.read_bytes()
    (tmp_path / "bad.ecdc").write_bytes(a.read_bytes()[:-40])
    for arguments, message in (
        (("truncate", b, "-f", out, "-b", "6"), b"cannot be raised"),
        (("cat", a, b, "-f", "-o", out), b"b.ecdc: its n"),
        (("cat", a, tmp_path / "bad.ecdc", "-f", "-o", out), b"bad.ecdc: "),
        (("cut", a, "-f", out, "--start", "20"), b"ends at"),
        (("cat", tmp_path / "none", "-f", "-o", out), b"none: No such file"),
        (("truncate", MUSIC, "-f", out, "-b", "3"), b"not an"),
        (("cut", a, out), b"exists"),
    ):
        done = command(*arguments)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count(b"\n") == 1, done.stderr
        assert out.read_bytes() == before


def test_damage_is_found():
    data = packed(noise(100_000), 24000, TINY, 3.0, lm=False, packet_seconds=1)
    damaged = bytearray(data)
    damaged[-100] ^= 1
    for work in (
        lambda file: truncate(file, io.BytesIO(), 1.5, TINY),
        lambda file: cut(file, io.BytesIO(), 0, 1, TINY),
    ):
        with pytest.raises(BitstreamError, match="packet"):
            work(io.BytesIO(bytes(damaged)))
