"""The wheel and the source archive, in an environment that has nothing of the checkout."""

import shutil
import site
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, VOICE

pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with sdist and wheel, built from a copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", source, cwd=folder)
    return folder / "dist"


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory) -> Path:
    """An environment with the wheel; its dependencies are those of the tests' own, read where they are."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "env", cwd=folder)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (wheel,) = built.glob("*.whl")
    run(folder / "env" / "bin" / "python", "-m", "pip", "install", "--no-deps", wheel, cwd=folder)
    # Not as a .pth file that runs others: those would bring the checkout back.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder


def test_wheel_compresses_and_decompresses(clean):
    where = run(clean / "env" / "bin" / "python", "-c", "import ecdc; print(ecdc.__file__)", cwd=clean)
    assert Path(where.strip()).is_relative_to(clean)
    command = clean / "env" / "bin" / "ecdc"
    assert run(command, "--version", cwd=clean).startswith("ecdc, version ")
    run(command, "compress", VOICE, "voice.ecdc", cwd=clean)
    run(command, "decompress", "voice.ecdc", "voice.wav", cwd=clean)
    original, decoded = (soundfile.read(path)[0] for path in (VOICE, clean / "voice.wav"))
    assert len(original) == len(decoded) and np.corrcoef(original, decoded)[0, 1] > 0.5


def test_wheel_has_types_models_and_man_pages(clean):
    (package,) = (clean / "env" / "lib").glob("python*/site-packages/ecdc")
    assert (package / "py.typed").is_file()
    assert {path.name for path in (package / "models" / "bundled").iterdir()} == {"ecdc_24khz", "ecdc_48khz"}
    assert (clean / "env" / "share" / "man" / "man1" / "ecdc-compress.1").is_file()


def test_source_archive_is_complete(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"README.md", "constraints.txt", "docs/FORMAT.md", "tests/conftest.py", "tests/golden/chunked.ecdc"} <= names
