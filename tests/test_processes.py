"""What shells do to a command: pipes that do not wait, descriptors as names, foreign text, permissions."""

import os
import subprocess
import sys
import threading
import time

import pytest
import soundfile
from conftest import GOLDEN, TINY, noise
from support.command import check, ecdc

RATE = 24000
RAW = ("--raw", "--rate", str(RATE), "--channels", "1")
COMPRESS = ("compress", "-m", TINY, "-b", "3", *RAW, "-", "-")


def run(*arguments, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "ecdc", *map(str, arguments)], stderr=subprocess.PIPE, **options)


def test_a_non_blocking_pipe_is_read_to_its_end():
    data = (noise(2 * RATE) * 32767).astype("<i2").tobytes()
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    process = run(*COMPRESS, stdin=ours, stdout=subprocess.PIPE)
    os.close(ours)

    def feed():
        with open(theirs, "wb", buffering=0) as pipe:
            for start in range(0, len(data), 32000):
                pipe.write(data[start : start + 32000])
                time.sleep(0.2)

    thread = threading.Thread(target=feed)
    thread.start()
    packed, said = process.communicate(timeout=60)
    thread.join()
    assert process.returncode == 0, said
    decoded = check(ecdc("decompress", "--raw", "-m", TINY, "-", "-", input=packed)).stdout
    assert len(decoded) == len(data)


@pytest.mark.parametrize("unbuffered", ("", "1"))
def test_a_non_blocking_pipe_gets_everything(unbuffered):
    stream = (GOLDEN / "shaped.ecdc").read_bytes() * 1
    whole = check(ecdc("decompress", "--rate", "192000", "-m", TINY, "-", "-", input=stream)).stdout
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    arguments = ("decompress", "--rate", "192000", "-m", TINY, GOLDEN / "shaped.ecdc", "-")
    process = run(*arguments, stdout=ours, env=environment)
    os.close(ours)
    time.sleep(0.5)
    with open(theirs, "rb") as pipe:
        received = pipe.read()
    assert process.wait(60) == 0, process.stderr.read()
    assert len(whole) > 1 << 16 and received == whole


def test_names_of_descriptors_are_outputs(tmp_path, short_wav):
    packed = check(ecdc("compress", "-m", TINY, "-b", "3", short_wav, "-")).stdout
    for arguments in ((short_wav, "/dev/stdout"), (short_wav, "-o", "/dev/stdout"), (short_wav, "-o", "/dev/fd/1")):
        assert check(ecdc("compress", "-m", TINY, "-b", "3", *arguments)).stdout == packed


def test_a_stream_or_an_unknown_second_name_is_refused(tmp_path, short_wav):
    packed = tmp_path / "a.ECDC"
    check(ecdc("compress", "-m", TINY, "-b", "3", short_wav, packed))
    again = ecdc("compress", "-m", TINY, packed, "-o", tmp_path / "b.ecdc")
    assert again.returncode == 1 and b"already" in again.stderr and not (tmp_path / "b.ecdc").exists()
    typo = ecdc("compress", "-m", TINY, short_wav, tmp_path / "out.edc")
    assert typo.returncode != 0 and sorted(path.name for path in tmp_path.iterdir()) == ["a.ECDC", "short.wav"]


def test_foreign_text_is_escaped(tmp_path, short_wav):
    packed = tmp_path / "a.ecdc"
    check(ecdc("compress", "-m", TINY, "-b", "3", "--tag", "title=\x1b]0;x\x07red\u202e", short_wav, packed))
    assert b"\\x1b]0;x\\x07red\\u202e" in check(ecdc("info", packed)).stdout
    missing = ecdc("info", tmp_path / "\x1b[31m.ecdc")
    assert missing.returncode == 1 and b"\x1b" not in missing.stderr and b"\\x1b[31m" in missing.stderr


def test_outputs_take_mode_and_time_of_their_source(tmp_path, short_wav):
    os.chmod(short_wav, 0o600)
    os.utime(short_wav, ns=(1_600_000_000_000_000_000, 1_500_000_000_000_000_000))
    packed, plain, back = tmp_path / "a.ecdc", tmp_path / "b.ecdc", tmp_path / "a.wav"
    check(ecdc("compress", "-m", TINY, "-b", "3", short_wav, packed))
    check(ecdc("compress", "-m", TINY, "-b", "3", "--no-preserve", short_wav, plain))
    check(ecdc("decompress", "-m", TINY, packed, back))
    for path in (packed, back):
        assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o600, 1_500_000_000)
    assert plain.stat().st_mtime > 1_700_000_000 and soundfile.info(back).frames == soundfile.info(short_wav).frames


def test_what_a_killed_run_left_is_swept_and_what_another_holds_is_not(tmp_path, short_wav):
    stale = tmp_path / ".b.ecdc.0123abcd.ecdc.part"
    stale.write_bytes(b"x")
    process = run(*COMPRESS[:-1], tmp_path / "held.ecdc", stdin=subprocess.PIPE)
    process.stdin.write(b"\0" * RATE)
    process.stdin.flush()
    limit = time.monotonic() + 30
    while not (held := list(tmp_path.glob(".held*.part"))) and time.monotonic() < limit:
        time.sleep(0.05)
    check(ecdc("compress", "-m", TINY, "-b", "3", short_wav, tmp_path / "b.ecdc"))
    assert held[0].exists() and not stale.exists()
    process.send_signal(1)
    assert process.wait(30) != 0 and not list(tmp_path.glob(".*.part"))
