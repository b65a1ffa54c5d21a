"""What shells do to a command: descriptors that do not block or are closed, paths of descriptors, folders, signals."""

import os
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, TINY, VOICE, check, ecdc, noise

from ecdc.entropy.model_file import load_language_model, save_language_model
from ecdc.models.importing import _save

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
COMMAND = [sys.executable, str(ROOT / "bin" / "run.py"), "ecdc"]


def shell(line: str, cwd, **options) -> subprocess.CompletedProcess:
    """Run a line of bash in which `ecdc` is the command."""
    line = f'ecdc() {{ {shlex.join(COMMAND)} "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", line], cwd=cwd, env=ENVIRONMENT, capture_output=True, timeout=100, **options)


@pytest.fixture
def tiny(tmp_path) -> str:
    """A second and a half, compressed with a tiny model."""
    soundfile.write(tmp_path / "a.wav", noise(36000), 24000)
    check(ecdc("compress", "-b", "3", "-m", TINY, tmp_path / "a.wav", tmp_path / "a.ecdc"))
    return tmp_path / "a.ecdc"


def test_a_pipe_that_does_not_block_is_read_to_its_end(tmp_path):
    samples = (noise(48000)[:, 0] * 32767).astype("<i2").tobytes()
    arguments = ["compress", "-b", "3", "-m", TINY, "--raw", "--rate", "24000", "--channels", "1", "-", "-"]
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdin=reader, stdout=subprocess.PIPE, env=ENVIRONMENT)
    os.close(reader)
    with open(writer, "wb", buffering=0) as file:
        for piece in (samples[:30001], samples[30001:]):
            file.write(piece)
            time.sleep(1.5)
    assert process.communicate(timeout=60)[0] == check(ecdc(*arguments, input=samples)).stdout


@pytest.mark.parametrize("command", ("decompress", "cat"))
def test_a_pipe_that_does_not_block_is_written_whole(tmp_path, tiny, command):
    many = [tiny] * 600 if command == "cat" else [tiny]
    arguments = ["cat", "-m", TINY, *many, "-o", "-"]
    if command == "decompress":
        arguments = ["decompress", "-m", TINY, "--raw", "--rate", "96000", "--channels", "2", tiny, "-"]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=writer, env=ENVIRONMENT)
    os.close(writer)
    time.sleep(2)
    with open(reader, "rb") as file:
        got = file.read()
    assert process.wait(60) == 0 and len(got) > 1 << 16
    assert got == check(ecdc(*arguments)).stdout


def test_raw_file_objects_of_the_interface(tmp_path):
    import ecdc as library

    class Slow(open(os.devnull, "rb", buffering=0).__class__):
        def write(self, data):
            return super().write(bytes(data)[:7])

        def read(self, count=-1):
            return super().read(min(count, 11) if count > 0 else count)

    with Slow(tmp_path / "slow.ecdc", "wb") as file:
        library.write(file, noise(4800), 24000, 3, model=TINY)
    library.write(tmp_path / "fast.ecdc", noise(4800), 24000, 3, model=TINY)
    assert (tmp_path / "slow.ecdc").read_bytes() == (tmp_path / "fast.ecdc").read_bytes()
    with Slow(tmp_path / "slow.ecdc", "rb") as file:
        assert np.array_equal(library.read(file, model=TINY)[0], library.read(tmp_path / "fast.ecdc", model=TINY)[0])


@pytest.mark.parametrize(
    "line",
    (
        "ecdc compress -q -b 3 -m $TINY a.wav /dev/stdout | cat > got",
        "ecdc compress -q -b 3 -m $TINY a.wav -o /dev/stdout | cat > got",
        "ecdc compress -q -b 3 -m $TINY a.wav -o /dev/fd/3 3> got",
        "ecdc compress -q -b 3 -m $TINY a.wav >(cat > got); sleep 0.5",
        "ecdc compress -q -b 3 -m $TINY /dev/stdin /dev/stdout < a.wav > got",
        "ecdc cut -q -m $TINY a.ecdc - > x; ecdc cut -q -m $TINY a.ecdc /dev/stdout | cmp x - && cp a.ecdc got",
    ),
)
def test_paths_of_descriptors(tmp_path, tiny, line):
    done = shell(line.replace("$TINY", str(TINY)), tmp_path)
    assert done.returncode == 0 and done.stderr == b"" and (tmp_path / "got").read_bytes() == tiny.read_bytes()


@pytest.mark.parametrize(
    "line, status",
    (
        ("ecdc test -m $TINY a.ecdc 2>&-", 0),
        ("ecdc compress -b 3 -m $TINY a.wav b.ecdc 2>&- <&-; s=$?; cmp a.ecdc b.ecdc; exit $s", 0),
        ("ecdc compress -b 3 -m $TINY a.wav c.ecdc 2>/dev/full", 0),
        ("ecdc info a.ecdc >&-", 1),
        ("ecdc info a.ecdc >/dev/full", 1),
        ("ecdc --help >/dev/full", 1),
        ("ecdc compress -b 3 -m $TINY a.wav - >&-", 1),
        ("ecdc test -m $TINY <&-", 1),
    ),
)
def test_standard_files_that_are_closed_or_full(tmp_path, tiny, line, status):
    done = shell(line.replace("$TINY", str(TINY)), tmp_path)
    assert done.returncode == status and done.stdout == b"" and done.stderr.count(b"\n") == status
    assert b"internal" not in done.stderr


@pytest.mark.parametrize("module", ("queue", "soundfile", "ecdc", "typing"))
def test_nothing_is_imported_from_the_current_folder(tmp_path, module):
    (tmp_path / f"{module}.py").write_text("open('executed', 'w')\nraise SystemExit('executed')")
    for name in ("ecdc", "training"):
        command = [sys.executable, ROOT / "bin" / "run.py", name, "--help"]
        assert b"Usage" in subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert not (tmp_path / "executed").exists()
    for name in ("ecdc", "train", "evaluate"):
        text = (ROOT / "bin" / name).read_text()
        assert "bin/run.py" in text and " -m " not in text and " -c " not in text


@pytest.mark.parametrize("number", (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT))
def test_every_signal_ends_the_command_and_leaves_nothing(tmp_path, number):
    process = subprocess.Popen(
        [*COMMAND, "compress", "-", "out.ecdc"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        # The tests may run where it is ignored, behind nohup or in the background.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    process.stdin.write(VOICE.read_bytes()[:100_000])
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == -number and not list(tmp_path.iterdir())
    process.stdin.close()


def test_no_home_and_no_passwd_entry(tmp_path, tiny):
    program = (
        "import os, pwd, sys; os.environ.pop('HOME', None); pwd.getpwuid = lambda uid: {}[uid];"
        "sys.argv[0] = 'ecdc'; from ecdc.cli import run; run()"
    )
    environment = {
        key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME", "ECDC_HOME")
    }
    for arguments, status in ((["compress", "--no-lm", "a.wav", "b.ecdc"], 0), (["models", "import", TINY], 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
        )
        assert done.returncode == status and b"internal" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ("b.flac", "b.wav", "b.ogg"))
def test_a_disk_that_is_full(tmp_path, tiny, name):
    for index in range(2):
        (tmp_path / f"{index}.ecdc").write_bytes(tiny.read_bytes())

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = shell(f"ecdc decompress -q -m {TINY} a.ecdc {name}", tmp_path, preexec_fn=limit)
    assert done.returncode == 1 and done.stderr == f"ecdc: a.ecdc to {name}: File too large\n".encode()
    assert not (tmp_path / name).exists() and not list(tmp_path.glob(".*"))


def test_a_disk_that_is_full_while_a_model_is_saved(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            _save({"weight": torch.zeros(4096)}, tmp_path / "weights.safetensors")
        with pytest.raises(OSError, match="File too large"):
            save_language_model(load_language_model(TINY / "exact_lm.safetensors"), tmp_path / "lm.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
