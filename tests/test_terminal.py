"""What is different on a terminal: progress is shown, binary data is not."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from conftest import VOICE, check, ecdc


def on_terminal(arguments, **options) -> tuple[int, bytes]:
    """Run with standard output or error on a terminal; returns the exit status and what the terminal shows."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    streams = {name: follower if value is None else value for name, value in options.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "ecdc", *map(str, arguments)],
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **streams},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    return process.wait(60), shown


def test_binary_data_is_kept_from_terminals(voice):
    for arguments in (("compress", VOICE, "-"), ("decompress", voice, "-")):
        status, shown = on_terminal(arguments, stdout=None)
        assert status == 1 and shown == b""
    status, _ = on_terminal(("compress",), stdin=None)
    assert status == 1


def test_progress_is_for_terminals(tmp_path, voice):
    status, shown = on_terminal(("decompress", voice, tmp_path / "t.wav"), stderr=None)
    assert status == 0 and b"x real time" in shown and b"%" in shown
    assert b"%" not in check(ecdc("decompress", voice, tmp_path / "u.wav")).stderr
    status, shown = on_terminal(("decompress", "-q", voice, tmp_path / "v.wav"), stderr=None)
    assert status == 0 and shown == b""
