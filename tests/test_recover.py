"""Damage that is lived with: --recover and repair keep the time, and everything behind the next key packet."""

import io

import numpy as np
import pytest
import soundfile
from conftest import MUSIC, TINY, TINY_STEREO, VOICE, check, noise
from conftest import ecdc as command
from hypothesis import given, settings
from hypothesis import strategies as st
from support import streams

import ecdc
from ecdc.bitstream import Packet, StreamParser
from ecdc.errors import BitstreamError, EcdcError
from ecdc.stream.decompressor import Decompressor, decompress
from ecdc.stream.repair import repair
from ecdc.stream.stretch import Stretch

RATE = 24000
KINDS = {
    "plain": (TINY, 1, {"lm": False, "packet_seconds": 1.0}),
    "modelled": (TINY, 1, {"packet_seconds": 1.0}),
    "live": (TINY, 1, {"live": True, "packet_seconds": 0.1}),
    "live plain": (TINY, 1, {"live": True, "packet_seconds": 0.1, "lm": False}),
    "segments": (TINY_STEREO, 2, {"packet_seconds": 1.0}),
}


def packed(kind: str, known: bool = True, seconds: int = 8) -> tuple[bytes, object]:
    model, channels, options = KINDS[kind]
    wave = noise(seconds * RATE, channels)
    compressor = ecdc.Compressor(
        ecdc.load_model(model),
        RATE,
        channels,
        3.0,
        samples=len(wave) if known else None,
        tags={"title": "x"},
        **options,
    )
    return compressor.push(wave.T) + compressor.flush(), model


def packets(data: bytes) -> list[tuple[int, int, Packet]]:
    """(first byte, last byte + 1, packet) of each packet."""
    bounds, parser, position = [], StreamParser(), 0
    for byte in range(len(data)):
        for section in parser.push(data[byte : byte + 1]):
            if isinstance(section, Packet):
                bounds.append((position, byte + 1, section))
            position = byte + 1
        if parser.header is not None and position == 0:
            position = byte + 1
    return bounds


def recovered(data: bytes, model, sizes: int = 1 << 18) -> tuple[np.ndarray, Decompressor]:
    decompressor = Decompressor(model, recover=True)
    blocks = [block for index in range(0, len(data), sizes) for block in decompressor.push(data[index : index + sizes])]
    blocks += decompressor.finish()
    return np.concatenate(blocks, axis=1).T, decompressor


def decoded(data: bytes, model) -> np.ndarray:
    return ecdc.read(io.BytesIO(data), model=model, always_2d=True)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_undamaged_stream_is_itself(kind):
    data, model = packed(kind)
    wave, decompressor = recovered(data, model)
    np.testing.assert_array_equal(wave, decoded(data, model))
    assert (
        decompressor.lost.stretches == [] and decompressor.lost.cut_off is None and decompressor.tags == {"title": "x"}
    )
    np.testing.assert_array_equal(recovered(data, model, 17)[0], wave)


@pytest.mark.parametrize("damage", ("bit", "length", "gone", "noise"))
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_packet(kind, damage):
    data, model = packed(kind)
    whole, bounds = decoded(data, model), packets(data)
    first, end, packet = bounds[len(bounds) // 3]
    changed = bytearray(data)
    if damage == "bit":
        changed[end - 6] ^= 4
    elif damage == "length":
        changed[first + 1] ^= 0x15
    elif damage == "gone":
        del changed[first:end]
    else:
        changed[first:end] = np.random.default_rng(1).bytes(end - first + 13)
    with pytest.raises(BitstreamError):
        decoded(bytes(changed), model)
    wave, decompressor = recovered(bytes(changed), model)
    assert wave.shape == whole.shape
    stretches = decompressor.lost.stretches
    begin = packet.position * 320 / RATE if kind != "segments" else stretches[0][0]
    assert len(stretches) == 1 and stretches[0][0] == pytest.approx(begin, abs=1e-3)
    lost_end = stretches[0][1]
    keys = [each.position * 320 / RATE for _, _, each in bounds if each.key and each.position > packet.position]
    assert lost_end <= min(keys, default=8.0) + 1e-3
    before, behind = int(begin * RATE) - 1000, int(lost_end * RATE) + 6000
    np.testing.assert_allclose(wave[: max(0, before)], whole[: max(0, before)], atol=1e-5)
    # Then the codes are right again; the decoder's memory of what was not heard fades.
    assert (wave[behind:] - whole[behind:]).std() < 0.03 * whole.std()
    fixed = io.BytesIO()
    losses = repair(io.BytesIO(bytes(changed)), fixed, model)
    again = decoded(fixed.getvalue(), model)
    assert again.shape == whole.shape and len(losses.stretches) == 1
    assert (again[behind:] - whole[behind:]).std() < 0.03 * whole.std()


@pytest.mark.parametrize("options", ({"packet_seconds": 1.0}, {"live": True, "packet_seconds": 0.1}))
@pytest.mark.parametrize("lm", (True, False))
def test_a_stretch_behind_damage_is_in_its_place(options, lm):
    data = streams.packed(ecdc.load_model(), streams.band_noise(10), lm=lm, **options)
    whole = streams.decoded(data, None)
    for number, start in ((0, 8.0), (3, 8.0), (4, 5.5), (4, 4.2)):
        decompressor = Decompressor(recover=True, stretch=Stretch(start, 2))
        given = [*decompressor.push(streams.damaged(data, number)), *decompressor.finish()]
        wave, expected = np.concatenate(given, axis=1)[0], whole[int(start * RATE) :][: 2 * RATE]
        assert len(wave) == len(expected)
        # What is heard of the loss, if the stretch begins in it or right behind, has gone by then.
        begun = slice(0 if start == 8 else RATE + RATE // 2, None)
        lost = options["packet_seconds"] < 1 and lm and start < 5.3
        assert lost or np.abs(wave[begun] - expected[begun]).max() < 1e-5


@pytest.mark.parametrize("known", (True, False))
@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_by_a_crash(kind, known):
    data, model = packed(kind, known)
    whole, bounds = decoded(data, model), packets(data)
    _, end, _packet = bounds[len(bounds) // 2]
    for cut in (end, end + 3):
        wave, decompressor = recovered(data[:cut], model)
        assert 0 < len(wave) <= len(whole) and decompressor.lost.cut_off == pytest.approx(len(wave) / RATE)
        inner = slice(0, len(wave) - 1000)
        np.testing.assert_allclose(wave[inner], whole[inner], atol=1e-5)
        fixed = io.BytesIO()
        assert repair(io.BytesIO(data[:cut]), fixed, model).cut_off is not None
        np.testing.assert_allclose(decoded(fixed.getvalue(), model)[inner], whole[inner], atol=1e-5)


def test_nothing_good():
    data, model = packed("plain")
    for bad in (b"", b"ECDC", data[:20], b"x" * 100, data[:60]):
        with pytest.raises(EcdcError):
            recovered(bad, model)
        with pytest.raises(EcdcError):
            repair(io.BytesIO(bad), io.BytesIO(), model)


def test_a_gap_of_years_is_not_believed():
    """A damaged position would make silence without end."""
    from ecdc.bitstream.sections import pack_packet

    data, model = packed("plain")
    bounds = packets(data)
    first, end, packet = bounds[3]
    far = pack_packet(packet._replace(position=1 << 50), packet_frames(data))
    wave, _decompressor = recovered(data[:first] + far + data[end:], model)
    assert len(wave) == 8 * RATE


def packet_frames(data: bytes) -> int:
    parser = StreamParser()
    list(parser.push(data))
    return parser.header.packet_frames


DATA = {kind: packed(kind, seconds=4) for kind in ("plain", "live", "segments")}


@st.composite
def damages(draw):
    """A stream with bytes changed, removed, put in, and its end perhaps cut off."""
    data, model = DATA[draw(st.sampled_from(sorted(DATA)))]
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 5))):
        position = draw(st.integers(0, max(0, len(changed) - 1)))
        kind = draw(st.sampled_from(("set", "delete", "insert", "repeat")))
        if kind == "set" and changed:
            changed[position] = draw(st.integers(0, 255))
        elif kind == "delete":
            del changed[position : position + draw(st.integers(1, 400))]
        elif kind == "insert":
            changed[position:position] = draw(st.binary(min_size=1, max_size=30))
        else:
            changed[position:position] = changed[position : position + draw(st.integers(1, 600))]
    if draw(st.booleans()):
        del changed[draw(st.integers(0, len(changed))) :]
    return bytes(changed), data, model


@settings(max_examples=150, deadline=None)
@given(damages(), st.integers(1, 5000))
def test_any_damage(damage, size):
    changed, data, model = damage
    if changed != data:
        with pytest.raises(EcdcError):
            decoded(changed, model)
    try:
        wave, _ = recovered(changed, model, size)
    except EcdcError:
        return
    assert np.isfinite(wave).all() and len(wave) <= 20 * RATE
    fixed = io.BytesIO()
    try:
        repair(io.BytesIO(changed), fixed, model)
    except BitstreamError:
        return
    decoded(fixed.getvalue(), model)


def test_commands(tmp_path):
    data, rate = soundfile.read(VOICE, frames=4 * 16000 + 8000)
    path, out, fixed = tmp_path / "v.ecdc", tmp_path / "v.wav", tmp_path / "fixed.ecdc"
    soundfile.write(tmp_path / "short.wav", data, rate)
    check(command("compress", "--packet", "1s", tmp_path / "short.wav", "-o", path))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    plain = command("decompress", path, out)
    assert plain.returncode == 1 and b"packet 3 (2.00 s)" in plain.stderr and not out.exists()
    found = check(command("decompress", path, out, "--recover"))
    assert b"lost 2.00 s to 3.00 s" in found.stderr and soundfile.info(out).frames == len(data)
    assert b"lost 2.00 s to 3.00 s" in check(command("repair", path, fixed)).stderr
    check(command("test", fixed))
    assert ecdc.info(fixed).samples == len(data)
    piped = check(command("repair", "-", "-", input=path.read_bytes())).stdout
    assert piped == fixed.read_bytes()
    nothing = command("repair", MUSIC, tmp_path / "x.ecdc")
    assert nothing.returncode == 1 and b"not an .ecdc file" in nothing.stderr and not (tmp_path / "x.ecdc").exists()
    assert list(decompress(io.BytesIO(piped), Decompressor()))
