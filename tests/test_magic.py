"""The lines in docs/FORMAT.md that make file(1) know streams."""

import re
import shutil
import subprocess

import pytest
from conftest import GOLDEN, ROOT, VOICE


@pytest.mark.skipif(shutil.which("file") is None, reason="file(1) is not installed")
def test_file_knows_streams(tmp_path):
    lines = re.search(r"^```\n(0\tstring\tECDC.*?)```", (ROOT / "docs" / "FORMAT.md").read_text(), re.M | re.S)[1]
    (tmp_path / "magic").write_text(lines)

    def asked(path, *options):
        command = ["file", "-b", "-m", tmp_path / "magic", *options, path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    for path in GOLDEN.glob("*.ecdc"):
        assert asked(path) == "EnCodec compressed audio, version 1"
        assert asked(path, "--mime-type") == "audio/x-ecdc"
    assert "EnCodec" not in asked(VOICE)
