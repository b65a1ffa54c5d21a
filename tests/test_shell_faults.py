"""Failing disks, outputs that hold something already, named pipes, foreign text, foreign modules."""

import errno
import io
import os
import subprocess
import sys
import threading

import pytest
import soundfile
from conftest import ROOT, TINY, noise
from support.command import check, ecdc, train_command

from ecdc import Compressor
from ecdc.audio.reader import open_audio
from ecdc.models import load_model


class Failing(io.BytesIO):
    """A file on a disk that cannot be read beyond its middle."""

    def _tell(self, count):
        if self.tell() + (count or 0) > len(self.getvalue()) // 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def read(self, count=-1):
        self._tell(count)
        return super().read(count)

    def readinto(self, buffer):
        self._tell(len(buffer))
        return super().readinto(buffer)


@pytest.mark.parametrize("extension", ("flac", "ogg"))
@pytest.mark.parametrize("ignore_length", (False, True))
def test_failing_disks(extension, ignore_length, capfd):
    file = io.BytesIO()
    soundfile.write(file, noise(100_000), 24000, format=extension)
    with (
        pytest.raises(OSError, match="Input/output error"),
        open_audio(Failing(file.getvalue()), ignore_length=ignore_length) as reader,
    ):
        list(reader.blocks())
    assert capfd.readouterr().err == ""


def live_stream():
    """One whose header does not say how long it is."""
    compressor = Compressor(load_model(TINY), 24000, 1, 3)
    return compressor.push(noise(4800).T) + compressor.flush()


@pytest.mark.parametrize("mode", ("ab", "r+b"))
def test_outputs_that_hold_something_already(tmp_path, mode):
    # What stands before is kept, and nothing but samples follows the header.
    (tmp_path / "a.ecdc").write_bytes(live_stream())
    piped = check(ecdc("decompress", "-m", TINY, tmp_path / "a.ecdc", "-")).stdout
    target = tmp_path / "target"
    target.write_bytes(b"before")
    with open(target, mode) as file:
        file.seek(0, 2)
        command = [sys.executable, "-m", "ecdc", "decompress", "-m", TINY, tmp_path / "a.ecdc", "-"]
        subprocess.run(command, stdout=file, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    found = target.read_bytes()
    assert found.startswith(b"beforeRIFF") and found.count(b"RIFF") == 1 and len(found) == 6 + len(piped)
    assert found[-9600:] == piped[-9600:]
    if mode == "r+b":
        assert soundfile.info(io.BytesIO(found[6:])).frames == 4800


def test_named_pipes_are_outputs(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(4800), 24000)
    check(ecdc("compress", "-m", TINY, "-b", "3", "a.wav", "a.ecdc", cwd=tmp_path))
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    check(ecdc("compress", "-m", TINY, "-b", "3", "a.wav", "pipe", cwd=tmp_path, timeout=60))
    reader.join(60)
    assert read == [(tmp_path / "a.ecdc").read_bytes()]


def test_foreign_text_in_errors_of_training(tmp_path):
    done = train_command("export", "\x1b[31mred", tmp_path / "out")
    assert done.returncode in (1, 2) and b"\x1b" not in done.stderr


def test_training_imports_nothing_from_the_current_folder(tmp_path):
    (tmp_path / "queue.py").write_text("print('imported')")
    done = subprocess.run(
        [sys.executable, "-m", "training", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "imported" not in done.stdout
