"""How the command is called, and how it ends: usage, verbosity, signals, help."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, VOICE, check, ecdc


@pytest.mark.parametrize(
    "arguments",
    (
        ("compress", "--raw", "x"),
        ("compress", "--rate", "8000", "x"),
        ("compress", "-o", "y", "--output-dir", ".", "x"),
        ("compress", "a", "b", "-o", "c"),
        ("compress", "-", "--output-dir", "."),
        ("compress", "a/x", "b/x", "--output-dir", "."),
        ("compress", "-b", "much", "x"),
        ("compress", "-r", "44", "x"),
        ("decompress", "x", "-o", "y.m4a"),
        ("decompress", "x", "-o", "y"),
        ("compress", "x", "."),
        ("decompress", "x", "-o", "."),
        ("decompress", "x", "-o", "y.flac", "--bits", "float"),
        ("decompress", "x", "--format", "s16le"),
        ("decompress", "x", "--native", "--rate", "8000"),
        ("decompress", "x", "--raw", "--bits", "16"),
        ("decompress", "x", "--channels", "3"),
        ("compres", "x"),
        ("info", "--nonsense"),
    ),
)
def test_usage_errors(arguments, tmp_path):
    done = ecdc(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and b"Error: " in done.stderr and b"Traceback" not in done.stderr


def test_quiet_and_verbose(tmp_path, short_wav):
    assert check(ecdc("compress", "-q", short_wav, tmp_path / "q.ecdc")).stderr == b""
    assert b"packets of 375 frames" in check(ecdc("compress", "-v", short_wav, tmp_path / "v.ecdc")).stderr
    assert ecdc("compress", "-q", "missing", "-o", "x").stderr != b""
    silent = ecdc("compress", "-qq", "missing", "-o", "x")
    assert silent.returncode == 1 and silent.stderr == b""


@pytest.mark.parametrize("delay", (0, 0.003, 0.01, 1))
def test_a_killed_command_leaves_nothing(tmp_path, delay):
    process = subprocess.Popen(
        [sys.executable, "-m", "ecdc", "compress", "-", "out.ecdc"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(VOICE.read_bytes()[:100_000])
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [path.name.endswith(".part") for path in tmp_path.iterdir()] == [True]
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert process.returncode == -signal.SIGTERM and not list(tmp_path.iterdir())
    assert b"Traceback" not in process.stderr.read()
    process.stdin.close()


def test_version_help_and_completion():
    assert check(ecdc("--version")).stdout == check(ecdc("-V")).stdout
    assert b"\nengine: " in check(ecdc("--version", "-v")).stdout
    for command in ("compress", "decompress", "info", "test"):
        assert check(ecdc(command, "-h")).stdout.startswith(b"Usage: ecdc " + command.encode())
    script = check(ecdc(env={**os.environ, "_ECDC_COMPLETE": "bash_source"})).stdout
    assert b"_ecdc_completion" in script


def test_help_does_not_load_torch():
    # Nor NumPy: the number of threads must be set before.
    code = "import sys, ecdc.cli; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
