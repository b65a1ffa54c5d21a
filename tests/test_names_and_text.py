"""Names of outputs, what outputs take from their sources, and text from elsewhere."""

import os
import stat
import subprocess
import sys

import pytest
import soundfile
from conftest import ROOT, TINY, check, ecdc, noise

import ecdc as library
from ecdc.cli.jobs import run_jobs
from ecdc.files import open_output

UNSAFE = "\x1b]0;x\x07\x9b2J\u202e\n"


@pytest.fixture
def folder(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(2400), 24000)
    library.write(tmp_path / "a.ecdc", noise(2400), 24000, 3, model=TINY, tags={"title": UNSAFE})
    return tmp_path


def test_a_second_name_that_is_no_output_is_refused_before_anything_is_written(folder):
    before = sorted(folder.iterdir())
    for name in ("out.edc", ""):
        done = ecdc("compress", "-b", "3", "-m", TINY, "a.wav", name, cwd=folder)
        assert done.returncode == 2 and sorted(folder.iterdir()) == before
    for command in ("compress", "decompress"):
        assert ecdc(command, "-m", TINY, "a.wav", "-o", "", cwd=folder).returncode == 2
    assert ecdc("cat", "-m", TINY, "a.ecdc", "-o", "", cwd=folder).returncode == 1
    check(ecdc("compress", "-b", "3", "-m", TINY, "a.wav", "B.ECDC", cwd=folder))
    check(ecdc("decompress", "-m", TINY, "B.ECDC", cwd=folder))
    assert (folder / "B.wav").exists()


def test_a_stream_is_not_compressed_again(folder):
    done = ecdc("compress", "-b", "3", "-m", TINY, "a.ecdc", "b.ecdc", cwd=folder)
    assert done.returncode == 1 and b"an .ecdc stream already" in done.stderr


def test_keys_of_tags_in_any_case(folder):
    check(
        ecdc(
            "compress", "-b", "3", "-m", TINY, "--tag", "title=one", "--tag", "TITLE=two", "a.wav", "t.ecdc", cwd=folder
        )
    )
    assert library.info(folder / "t.ecdc").tags == {"title": "two"}
    done = ecdc("compress", "--tag", "title=\udcff", "a.wav", "u.ecdc", cwd=folder)
    assert done.returncode == 2 and b"UTF-8" in done.stderr and b"internal" not in done.stderr


def test_text_from_elsewhere_is_escaped(folder):
    name = UNSAFE.replace("/", "") + ".ecdc"
    (folder / name).write_bytes((folder / "a.ecdc").read_bytes())
    (folder / f"{name}.bad").write_bytes(b"bad")
    for arguments in (
        ("info", name),
        ("info", "--json", name),
        ("info", f"{name}.bad"),
        ("test", "-m", TINY, name),
        ("info", f"--{UNSAFE}"),
        ("decompress", "-m", f"{UNSAFE}", name, "out.wav"),
    ):
        done = ecdc(*arguments, cwd=folder)
        said = (done.stdout + done.stderr).decode()
        assert all(letter not in said for letter in UNSAFE if letter not in "]0;x2J\n"), arguments
    done = check(ecdc("info", name, cwd=folder))
    assert b"tag title \\x1b]0;x\\x07\\x9b2J\\u202e\\n\n" in done.stdout


def test_outputs_take_mode_and_time(folder):
    source = folder / "a.wav"
    source.chmod(0o640)
    os.utime(source, ns=(10**18, 10**18))
    check(ecdc("compress", "-b", "3", "-m", TINY, source))
    made = (folder / "a.wav.ecdc").stat()
    assert stat.S_IMODE(made.st_mode) == 0o640 and made.st_mtime_ns == 10**18
    check(ecdc("decompress", "-m", TINY, folder / "a.wav.ecdc", folder / "c.flac"))
    assert (folder / "c.flac").stat().st_mtime_ns == 10**18
    (folder / "b.ecdc").write_bytes((folder / "a.ecdc").read_bytes())
    (folder / "b.ecdc").chmod(0o604)
    check(ecdc("cat", "-m", TINY, folder / "a.wav.ecdc", folder / "a.wav.ecdc", "-o", folder / "d.ecdc"))
    assert stat.S_IMODE((folder / "d.ecdc").stat().st_mode) == 0o640
    check(ecdc("cat", "-m", TINY, folder / "b.ecdc", folder / "a.wav.ecdc", "-o", folder / "f.ecdc"))
    assert stat.S_IMODE((folder / "f.ecdc").stat().st_mode) == 0o600
    check(ecdc("compress", "-b", "3", "-m", TINY, "--no-preserve", source, folder / "e.ecdc"))
    assert (folder / "e.ecdc").stat().st_mtime_ns != 10**18


def test_stale_files_are_swept_and_living_ones_stay(tmp_path):
    code = (
        "import sys, time; from ecdc.files import open_output\n"
        "with open_output('x') as file: print('open', flush=True); time.sleep(100)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    process.stdout.readline()
    (part,) = tmp_path.iterdir()
    run = [sys.executable, "-c", "from ecdc.files import open_output\nwith open_output('y') as file: file.write(b'y')"]
    subprocess.run(run, cwd=tmp_path, env=environment, check=True)
    assert part.exists()
    process.kill()
    process.wait()
    (tmp_path / ".other.12345678.part").write_bytes(b"another program's")
    subprocess.run(run, cwd=tmp_path, env=environment, check=True)
    assert not part.exists() and sorted(path.name for path in tmp_path.iterdir()) == [".other.12345678.part", "y"]


def test_the_other_files_are_done(capsys, tmp_path):
    def work(path):
        if path == "memory":
            bytearray(1 << 62)
        if path == "input":
            with open("/proc/self/mem", "rb") as file:
                file.read(1)
        if path == "defect":
            raise RecursionError("deep")
        with open_output(tmp_path / path) as file:
            file.write(b"x")

    with pytest.raises(SystemExit):
        run_jobs(["memory", "input", "defect", "good"], work, 0)
    said = capsys.readouterr().err
    assert said.count("\n") == 3 and "not enough memory" in said and "input: Input/output error" in said
    assert (tmp_path / "good").exists()
