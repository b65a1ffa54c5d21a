"""The command line as people use it: names, pipes, several files, options and their mistakes."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import GOLDEN, MUSIC, TINY, TINY_STEREO, VOICE, check, ecdc, excerpt, noise, si_snr


@pytest.mark.parametrize("source", (VOICE, MUSIC), ids=("voice", "music"))
def test_round_trip_of_real_audio(tmp_path, source):
    data, rate = soundfile.read(source, dtype="float32", always_2d=True)
    nearness = []
    for bandwidth in (1.5, 24):
        packed, out = tmp_path / f"{bandwidth}.ecdc", tmp_path / f"{bandwidth}.wav"
        check(ecdc("compress", source, packed, "-b", bandwidth))
        check(ecdc("decompress", packed, out))
        decoded, out_rate = soundfile.read(out, dtype="float32", always_2d=True)
        assert decoded.shape == data.shape and out_rate == rate
        kbps = packed.stat().st_size * 8e-3 * rate / len(data)
        # The envelope takes some, the language model saves more.
        assert kbps < bandwidth * 1.01 + 0.12
        check(ecdc("compress", "--no-lm", "-f", source, packed, "-b", bandwidth))
        kbps_without = packed.stat().st_size * 8e-3 * rate / len(data)
        assert max(bandwidth, kbps) < kbps_without < bandwidth * 1.01 + 0.12 + 0.5
        assert len(check(ecdc("decompress", packed, "-")).stdout) == out.stat().st_size
        nearness.append(si_snr(data.mean(1), decoded.mean(1)))
    assert nearness[0] < nearness[1] and nearness[1] > 0


@pytest.mark.parametrize("source", (VOICE, MUSIC), ids=("voice", "music"))
def test_a_file_and_a_pipe_give_the_same_bytes(tmp_path, source):
    source = excerpt(source, tmp_path, 3)
    packed, out = tmp_path / "a.ecdc", tmp_path / "a.wav"
    check(ecdc("compress", source, packed))
    assert check(ecdc("compress", "-", "-", input=source.read_bytes())).stdout == packed.read_bytes()
    check(ecdc("decompress", packed, out))
    assert check(ecdc("decompress", "-", "-", input=packed.read_bytes())).stdout == out.read_bytes()
    piped = subprocess.run(
        f"{sys.executable} -m ecdc compress -q - - < {source} | {sys.executable} -m ecdc decompress -q - -",
        shell=True,
        capture_output=True,
        timeout=60,
    )
    assert piped.stdout == out.read_bytes() and piped.stderr == b""


def test_a_pipe_at_either_end_and_no_names_at_all(tmp_path, short_wav):
    packed, data = tmp_path / "a.ecdc", short_wav.read_bytes()
    check(ecdc("compress", short_wav, packed))
    assert check(ecdc("compress", short_wav, "-")).stdout == packed.read_bytes()
    assert check(ecdc("compress", input=data)).stdout == packed.read_bytes()
    check(ecdc("compress", "-", tmp_path / "b.ecdc", input=data))
    assert (tmp_path / "b.ecdc").read_bytes() == packed.read_bytes()


def test_derived_names(tmp_path, short_wav):
    soundfile.write(tmp_path / "a.flac", noise(2400), 24000)
    soundfile.write(tmp_path / "b.ogg", noise(2400), 24000)
    (tmp_path / "out").mkdir()
    check(ecdc("compress", "short.wav", cwd=tmp_path))
    check(ecdc("compress", "a.flac", "b.ogg", "--output-dir", "out", cwd=tmp_path))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.flac.ecdc", "b.ogg.ecdc"]
    check(ecdc("decompress", "out/a.flac.ecdc", "out/b.ogg.ecdc", cwd=tmp_path))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.flac", "a.flac.ecdc", "b.ogg.ecdc", "b.ogg.wav"]
    assert soundfile.info(tmp_path / "out" / "a.flac").format == "FLAC"
    refused = ecdc("decompress", "short.wav.ecdc", cwd=tmp_path)
    assert refused.returncode == 1 and b"short.wav is not written: it already exists: -f" in refused.stderr
    assert (tmp_path / "short.wav").exists() and (tmp_path / "a.flac").exists()


def test_nothing_is_overwritten_unless_forced(tmp_path, short_wav):
    target = tmp_path / "kept.ecdc"
    target.write_bytes(b"precious")
    done = ecdc("compress", short_wav, target)
    assert done.returncode == 1 and b"already exists" in done.stderr and target.read_bytes() == b"precious"
    check(ecdc("compress", short_wav, target, "-f"))
    assert target.read_bytes()[:4] == b"ECDC"
    same = ecdc("compress", "-f", short_wav, "-o", short_wav)
    assert same.returncode == 1 and b"the same file" in same.stderr


def test_one_bad_file_among_several(tmp_path, short_wav):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "last.wav", noise(2400), 24000)
    done = ecdc("compress", short_wav, "bad.wav", "missing.wav", "last.wav", cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 4 and lines[1].startswith("ecdc: bad.wav: ")
    assert lines[2] == "ecdc: missing.wav: No such file or directory"
    assert (tmp_path / "short.wav.ecdc").exists() and (tmp_path / "last.wav.ecdc").exists()
    assert not (tmp_path / "bad.wav.ecdc").exists()
    tested = ecdc("test", "short.wav.ecdc", "bad.wav", "last.wav.ecdc", cwd=tmp_path)
    assert tested.returncode == 1 and tested.stderr.count(b": ok, ") == 2


def test_bandwidths(tmp_path, short_wav):
    for bandwidth, codebooks in (("1.5", 2), ("0.75", 1), ("4.5", 6), ("24", 32)):
        done = check(ecdc("compress", "-f", short_wav, tmp_path / "x.ecdc", "-b", bandwidth))
        assert f"({codebooks} codebooks, {bandwidth} kbps)".encode() in done.stderr
    done = ecdc("compress", short_wav, tmp_path / "y.ecdc", "-b", "5")
    assert done.returncode == 1 and b"choose 1.5, 3, 6, 12, 24, or any multiple of 0.75 up to 24" in done.stderr
    assert not (tmp_path / "y.ecdc").exists()


def test_sample_rate_chooses_the_model(tmp_path, short_wav):
    check(ecdc("compress", "-r", "24", short_wav, tmp_path / "x.ecdc"))
    check(ecdc("compress", "-r", "48", short_wav, tmp_path / "y.ecdc"))
    info = json.loads(check(ecdc("info", "--json", tmp_path / "y.ecdc")).stdout)
    assert (info["model"], info["model_samplerate"], info["model_channels"]) == ("ecdc_48khz", 48000, 2)
    check(ecdc("compress", "-r", "48", "-m", TINY_STEREO, "-b", "3", short_wav, tmp_path / "z.ecdc"))
    done = ecdc("compress", "-r", "24", "-m", TINY_STEREO, short_wav, tmp_path / "z.ecdc")
    assert done.returncode == 1 and b"works at 48000 Hz, not at 24000 Hz" in done.stderr
    named = check(ecdc("compress", "--model", "ecdc_24khz", short_wav, "-"))
    assert named.stdout == (tmp_path / "x.ecdc").read_bytes()


def test_stereo_model(tmp_path):
    packed, out = tmp_path / "s.ecdc", tmp_path / "s.wav"
    check(ecdc("compress", "-m", TINY_STEREO, "-b", "6", MUSIC, packed))
    check(ecdc("decompress", "-m", TINY_STEREO, packed, out))
    info = soundfile.info(out)
    assert (info.frames, info.samplerate, info.channels) == (352800, 44100, 2)
    check(ecdc("decompress", "-m", TINY_STEREO, packed, "-f", out, "--native"))
    assert (soundfile.info(out).samplerate, soundfile.info(out).frames) == (48000, 384000)


def test_output_formats(tmp_path, short_wav):
    packed = tmp_path / "short.ecdc"
    check(ecdc("compress", short_wav, packed))
    for name, options, subtype in (
        ("a.wav", (), "PCM_16"),
        ("b.wav", ("--bits", "24"), "PCM_24"),
        ("c.wav", ("--bits", "float"), "FLOAT"),
        ("d.flac", (), "PCM_16"),
        ("e.flac", ("--bits", "24"), "PCM_24"),
        ("f.ogg", (), "VORBIS"),
        ("g.mp3", (), "MPEG_LAYER_III"),
    ):
        check(ecdc("decompress", packed, tmp_path / name, *options))
        info = soundfile.info(tmp_path / name)
        assert (info.subtype, info.samplerate, info.channels, info.frames) == (subtype, 16000, 1, 3200)
    check(ecdc("decompress", packed, tmp_path / "n.wav", "--native"))
    check(ecdc("decompress", packed, tmp_path / "r.wav", "--rate", "48000", "--channels", "2"))
    assert (soundfile.info(tmp_path / "n.wav").samplerate, soundfile.info(tmp_path / "n.wav").frames) == (24000, 4800)
    info = soundfile.info(tmp_path / "r.wav")
    assert (info.samplerate, info.channels, info.frames) == (48000, 2, 9600)


def test_raw_pcm(tmp_path, plain_voice):
    data, _ = soundfile.read(VOICE, dtype="int16")
    raw = ("--raw", "--rate", "16000", "--channels", "1")
    packed = check(ecdc("compress", "--no-lm", *raw, "-", "-", input=data.tobytes())).stdout
    (tmp_path / "in.pcm").write_bytes(data.tobytes())
    assert check(ecdc("compress", "--no-lm", *raw, tmp_path / "in.pcm", "-")).stdout == packed
    decoded = check(ecdc("decompress", "--raw", "-", "-", input=packed)).stdout
    check(ecdc("decompress", plain_voice, tmp_path / "decoded.wav"))
    expected, _ = soundfile.read(tmp_path / "decoded.wav", dtype="int16")
    np.testing.assert_array_equal(np.frombuffer(decoded, "<i2"), expected)
    floats = check(ecdc("decompress", "--raw", "--format", "f32le", "-", "-", input=packed)).stdout
    np.testing.assert_allclose(np.frombuffer(floats, "<f4"), expected / 32768, atol=2e-5)


def test_rescale(tmp_path):
    source = tmp_path / "loud.wav"
    soundfile.write(source, noise(24000) * 20, 24000, "FLOAT")
    done = check(ecdc("compress", "-m", TINY, "-b", "3", source))
    assert b"peaks reach" in done.stderr
    packed = tmp_path / "loud.wav.ecdc"
    done = check(ecdc("decompress", "-m", TINY, packed, tmp_path / "limited.wav"))
    assert b"were limited: --rescale" in done.stderr
    done = check(ecdc("decompress", "-m", TINY, "--clip", packed, tmp_path / "clipped.wav"))
    assert b"were clipped: --rescale" in done.stderr
    kept = check(ecdc("decompress", "-m", TINY, packed, tmp_path / "float.wav", "--bits", "float"))
    assert b"clipped" not in kept.stderr and b"limited" not in kept.stderr
    clipped, limited, floats = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("clipped", "limited", "float"))
    np.testing.assert_allclose(clipped, np.clip(floats, -1, 1), atol=1e-4)
    assert len(limited) == len(floats) and np.abs(limited).max() <= 1
    # Clipped samples lie at full scale in runs; limited ones keep their shape.
    assert (np.abs(limited) > 0.999).sum() < 0.1 * (np.abs(clipped) > 0.999).sum()
    for source in (packed, "-"):
        done = check(
            ecdc(
                "decompress",
                "-m",
                TINY,
                "--rescale",
                source,
                "-f",
                "-o",
                tmp_path / "quiet.wav",
                **({"input": packed.read_bytes()} if source == "-" else {}),
            )
        )
        assert b"made quieter by" in done.stderr and b"limited" not in done.stderr
        quiet, loud = (soundfile.read(tmp_path / name)[0] for name in ("quiet.wav", "float.wav"))
        assert 0.99 < np.abs(quiet).max() <= 1
        np.testing.assert_allclose(quiet * np.abs(loud).max(), loud, atol=1e-3)


def test_more_than_two_channels(tmp_path):
    soundfile.write(tmp_path / "six.wav", noise(4800, 6), 48000)
    done = ecdc("compress", "six.wav", cwd=tmp_path)
    assert done.returncode == 1 and b"it has 6 channels, 2 are the most: --downmix" in done.stderr
    check(ecdc("compress", "--downmix", "six.wav", cwd=tmp_path))
    check(ecdc("decompress", "six.wav.ecdc", "six-out.wav", cwd=tmp_path))
    assert soundfile.info(tmp_path / "six-out.wav").channels == 1


def test_info(voice):
    text = check(ecdc("info", voice)).stdout.decode()
    for part in ("ecdc_24khz", "7.10 s, 113600 samples at 16000 Hz", "8 codebooks of 6 kbps", "2 of at most 5 s"):
        assert part in text
    found = json.loads(check(ecdc("info", "--json", voice)).stdout)
    size = voice.stat().st_size
    assert found["bytes"] == size == found["payload_bytes"] + found["overhead_bytes"]
    assert found["kbps"] == pytest.approx(size * 8e-3 / 7.1) and found["samples"] == 113600
    tagged = check(ecdc("info", GOLDEN / "chunked.ecdc", "-", input=voice.read_bytes())).stdout.decode()
    assert "tag title Tön" in tagged and "7.10 s" in tagged
    assert "entropy coder: language model, saves " in text and "entropy coder: plain\n" in tagged


def test_overhead_of_a_default_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(24000 * 60), 24000)
    check(ecdc("compress", "-m", TINY, "-b", "3", "--no-lm", "a.wav", cwd=tmp_path))
    found = json.loads(check(ecdc("info", "--json", "a.wav.ecdc", cwd=tmp_path)).stdout)
    # Half the bits of the 6 kbps for which 1 % is promised.
    assert found["overhead_bytes"] / found["bytes"] < 0.01
