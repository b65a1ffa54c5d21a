"""Live streams: samples come out of two real processes while the input is still open."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import MUSIC, VOICE, check
from conftest import ecdc as command

import ecdc
from ecdc.audio.wav import wav_header


def pipeline(*options: str) -> tuple[subprocess.Popen, subprocess.Popen]:
    """compress | decompress to raw PCM."""
    run = [sys.executable, "-m", "ecdc"]
    encoder = subprocess.Popen(
        [*run, "compress", "--live", *options, "-q", "-", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    decoder = subprocess.Popen(
        [*run, "decompress", "-q", "--raw", "-", "-"], stdin=encoder.stdout, stdout=subprocess.PIPE
    )
    encoder.stdout.close()
    return encoder, decoder


@pytest.mark.parametrize("options", ((), ("--packet", "20ms"), ("--no-lm", "--packet", "0.5")))
def test_samples_come_before_the_input_ends(options):
    data, rate = soundfile.read(VOICE, dtype="int16")
    encoder, decoder = pipeline(*options)
    encoder.stdin.write(wav_header("s16le", rate, 1, None) + data[:rate].tobytes())
    encoder.stdin.flush()
    # What is not yet out may wait for a whole packet, its last frame and the resamplers: 0.6 s with packets of 0.5 s.
    early = decoder.stdout.read(2 * int(0.4 * rate))
    assert len(early) == 2 * int(0.4 * rate) and encoder.poll() is None
    encoder.stdin.write(data[rate : 2 * rate].tobytes())
    encoder.stdin.close()
    decoded = np.frombuffer(early + decoder.stdout.read(), "<i2")
    assert (encoder.wait(60), decoder.wait(60)) == (0, 0)
    assert len(decoded) == 2 * rate
    whole, _ = ecdc.read(io.BytesIO(compressed(VOICE, rate, 2 * rate, *options)))
    np.testing.assert_allclose(decoded / 32768, whole, atol=2e-4)


def compressed(path, rate: int, samples: int, *options: str) -> bytes:
    data, _ = soundfile.read(path, frames=samples, dtype="int16")
    return check(
        command("compress", "--live", *options, "-", "-", input=wav_header("s16le", rate, 1, None) + data.tobytes())
    ).stdout


def test_a_file_and_a_pipe_give_the_same_packets(tmp_path):
    check(command("compress", "--live", MUSIC, tmp_path / "file.ecdc"))
    pipe = check(command("compress", "--live", "-", "-", input=MUSIC.read_bytes())).stdout
    assert pipe == (tmp_path / "file.ecdc").read_bytes()
    info = ecdc.info(io.BytesIO(pipe))
    assert info.packet_seconds < 0.11 and info.key_packets == 2 and info.packets == 75


@pytest.mark.parametrize("text", ("10ms", "11s", "x", "-1", "1:2:3:4", "nan"))
def test_impossible_packets(text):
    done = command("compress", "--packet", text, VOICE)
    assert done.returncode == 2 and b"--packet" in done.stderr


def test_tags(tmp_path):
    tagged, packed = tmp_path / "in.flac", tmp_path / "x.ecdc"
    data, rate = soundfile.read(VOICE, frames=8000)
    with soundfile.SoundFile(tagged, "w", rate, 1) as file:
        file.title, file.artist, file.comment = "Lied", "Wér", "x" * 5000
        file.write(data)
    check(command("compress", tagged, packed, "--tag", "album=Ä = B", "--tag", "mood=blue", "--tag", "artist="))
    assert ecdc.info(packed).tags == {"title": "Lied", "album": "Ä = B", "mood": "blue"}
    assert "tag album" in check(command("info", packed)).stdout.decode()
    for name in ("out.flac", "out.ogg", "out.wav", "out.mp3"):
        check(command("decompress", packed, tmp_path / name))
        written = soundfile.SoundFile(tmp_path / name).copy_metadata()
        assert written["title"] == "Lied" and (written.get("album") == "Ä = B" or name == "out.mp3"), (name, written)
    # The WAV's own come back in, from a pipe as well.
    for source, options in ((tmp_path / "out.wav", {}), ("-", {"input": (tmp_path / "out.wav").read_bytes()})):
        check(command("compress", source, "-f", "-o", packed, **options))
        assert ecdc.info(packed).tags == {"title": "Lied", "album": "Ä = B"}
    check(command("decompress", packed, "-", "-q"))
    assert command("compress", tagged, "--tag", "nothing", "-o", packed).returncode == 2
