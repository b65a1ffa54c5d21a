"""Other machines, emulated by QEMU: big-endian and 32-bit ones decode golden streams, and pip installs on ARM.

Needs the package qemu-user-static, Debian's apt and dpkg, and a network. Nothing is installed: packages of the other
machine are unpacked into a folder of their own. PyTorch takes no part: there is none for big-endian or 32-bit machines,
and for ARM it is too large to fetch, so that only its wheel is looked up.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import GOLDEN, ROOT

pytestmark = pytest.mark.slow
PACKAGES = (
    *("libc6", "libgcc-s1", "libstdc++6", "libgfortran5", "libblas3", "liblapack3", "zlib1g", "libexpat1", "libssl3"),
    *("libffi8", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "python3-numpy"),
)
SCRIPT = ROOT / "tests" / "support" / "machine_run.py"
# Debian's name, QEMU's, the folder of libraries, more packages, and what Python says of its words.
MACHINES = (
    ("s390x", "s390x", "s390x-linux-gnu", (), "big 64"),
    ("i386", "i386", "i386-linux-gnu", ("libquadmath0",), "little 32"),
)


def unpacked(folder, architecture, packages):
    """A folder with Debian's packages for another machine; skips where they cannot be had."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here: only Debian and its like have it")
    for part in ("state/lists/partial", "cache/archives/partial", "debs", "root"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    options = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], capture_output=True)
    done = subprocess.run([*apt, "download", *packages], cwd=folder / "debs", capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"packages for {architecture} cannot be fetched: {done.stderr[-300:]}")
    for package in (folder / "debs").iterdir():
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    return folder / "root"


@pytest.mark.parametrize("architecture, emulator, libraries, more, words", MACHINES)
def test_golden_streams_decode_to_the_same_codes(tmp_path, architecture, emulator, libraries, more, words):
    emulator = f"qemu-{emulator}-static"
    if shutil.which(emulator) is None:
        pytest.skip(f"{emulator} is not installed: it comes with qemu-user-static")
    root = unpacked(tmp_path, architecture, [*PACKAGES, *more])
    here = subprocess.run(
        [sys.executable, SCRIPT, GOLDEN],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    settings = {
        "LD_LIBRARY_PATH": ":".join(f"{root}/usr/lib/{libraries}/{name}" for name in ("blas", "lapack")),
        "PYTHONHOME": root / "usr",
        "PYTHONPATH": f"{ROOT}:{root}/usr/lib/python3/dist-packages",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    there = subprocess.run(
        [
            emulator,
            *("-L", root),
            *(word for name, value in settings.items() for word in ("-E", f"{name}={value}")),
            *(root / "usr/bin/python3.11", SCRIPT, GOLDEN),
        ],
        capture_output=True,
        text=True,
    )
    assert there.returncode == 0, there.stderr
    first, *digests = there.stdout.splitlines()
    assert first == words and digests == here.stdout.splitlines()[1:] and len(digests) == 9


def test_every_dependency_has_a_wheel_for_arm(tmp_path):
    """Those that are asked for on aarch64 Linux; constriction is not."""
    from packaging.requirements import Requirement

    lines = re.search(r"install_requires =\n((?: +.*\n)+)", (ROOT / "setup.cfg").read_text())[1].split("\n")
    machine = {"sys_platform": "linux", "platform_machine": "aarch64"}
    needed = [Requirement(line) for line in lines if line.strip()]
    needed = [item for item in needed if item.marker is None or item.marker.evaluate(machine)]
    assert {"numpy", "torch", "soxr"} <= {item.name for item in needed} and "constriction" not in str(needed)
    for item in needed:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed"]
        command += ["--target", tmp_path, "--only-binary=:all:", "--python-version", "3.11"]
        for platform in ("manylinux2014_aarch64", "manylinux_2_28_aarch64"):
            command += ["--platform", platform]
        if item.name == "torch":  # Hundreds of megabytes, which pip would fetch to resolve it.
            continue
        done = subprocess.run([*command, f"{item.name}{item.specifier}"], capture_output=True, text=True)
        if "connection" in done.stderr.lower():
            pytest.skip(f"the package index cannot be reached: {done.stderr[-300:]}")
        assert done.returncode == 0, done.stderr
