"""Output files appear whole or not at all."""

import os
import stat
import threading

import pytest

from ecdc.errors import EcdcError
from ecdc.files import open_output


def test_a_new_file_has_ordinary_permissions(tmp_path):
    with open_output(tmp_path / "new") as file:
        file.write(b"x")
        assert not (tmp_path / "new").exists()
    (tmp_path / "peer").write_bytes(b"x")
    assert (tmp_path / "new").read_bytes() == b"x"
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "peer").stat().st_mode


def test_a_replaced_file_keeps_its_permissions_and_links(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    with open_output(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", (RuntimeError, KeyboardInterrupt, SystemExit))
def test_an_error_leaves_everything_as_it_was(tmp_path, error):
    (tmp_path / "kept").write_bytes(b"precious")
    for name in ("kept", "new"):
        with pytest.raises(error), open_output(tmp_path / name) as file:
            file.write(b"half")
            raise error
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_bytes() == b"precious"


def test_refusal(tmp_path):
    (tmp_path / "kept").write_bytes(b"precious")
    with pytest.raises(EcdcError, match="already exists"), open_output(tmp_path / "kept", overwrite=False):
        pass
    with pytest.raises(EcdcError), open_output(tmp_path / "late", overwrite=False) as file:
        file.write(b"mine")
        (tmp_path / "late").write_bytes(b"theirs")
    assert (tmp_path / "late").read_bytes() == b"theirs" and len(list(tmp_path.iterdir())) == 2
    with pytest.raises(FileNotFoundError) as raised, open_output(tmp_path / "no" / "folder"):
        pass
    assert raised.value.filename == str((tmp_path / "no" / "folder").resolve())
    with pytest.raises(OSError), open_output(tmp_path):
        pass


def test_devices_and_pipes_are_written_to_and_stay(tmp_path):
    with open_output("/dev/null") as file:
        file.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo(tmp_path / "fifo")
    got = []
    thread = threading.Thread(target=lambda: got.append((tmp_path / "fifo").read_bytes()))
    thread.start()
    with open_output(tmp_path / "fifo") as file:
        file.write(b"through")
    thread.join(10)
    assert got == [b"through"] and stat.S_ISFIFO(os.stat(tmp_path / "fifo").st_mode)
