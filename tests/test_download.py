"""Fetching of published files, against a server on this machine that does what servers do."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from conftest import ROOT, check
from conftest import ecdc as command
from support.checkpoints import save_official

from ecdc.models import download
from ecdc.models.download import DownloadError, fetch
from ecdc.models.known import KNOWN, Published
from ecdc.models.pull import pull_model

CONTENT = np.random.default_rng(0).bytes(300_000)
HASH = hashlib.sha256(CONTENT).hexdigest()
FILE = Published(f"thing-{HASH[:8]}.th", HASH)


class Server(http.server.ThreadingHTTPServer):
    """`behaviour`: ranges, no ranges, cut, slow, missing, page; `asked`: the Range headers that came."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour, self.asked, self.content = "ranges", [], {FILE.name: CONTENT}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        behaviour = self.server.behaviour
        self.server.asked.append(self.headers["Range"])
        data = self.server.content.get(self.path.strip("/"))
        if behaviour == "missing" or data is None:
            self.send_error(404)
            return
        if behaviour == "page":
            data = b"<html>log in to the network</html>"
        first = int(self.headers["Range"][6:-1]) if self.headers["Range"] and behaviour != "no ranges" else 0
        if first >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        if behaviour == "cut":
            self.wfile.write(data[first : first + 100_000])
        elif behaviour == "slow":
            self.wfile.write(data[first : first + 100_000])
            self.wfile.flush()
            time.sleep(3)
        else:
            self.wfile.write(data[first:])


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ECDC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ECDC_MIRROR", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    yield server
    server.shutdown()
    server.server_close()


def test_fetches_once(server):
    seen = []
    path = fetch(FILE, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT and seen[-1] == (300_000, 300_000)
    server.behaviour = "missing"
    assert fetch(FILE) == path and server.asked == [None]


@pytest.mark.parametrize("later", ("ranges", "no ranges"))
@pytest.mark.parametrize("first", ("cut", "slow"))
def test_goes_on_where_it_broke_off(server, first, later):
    server.behaviour = first
    with pytest.raises(DownloadError, match="goes on from there.*ecdc models import FILE"):
        fetch(FILE)
    server.behaviour = later
    assert fetch(FILE).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_whole_part_is_taken(server, tmp_path):
    (tmp_path / "home" / "downloads").mkdir(parents=True)
    (tmp_path / "home" / "downloads" / FILE.name).with_suffix(".part").write_bytes(CONTENT)
    assert fetch(FILE).read_bytes() == CONTENT
    (tmp_path / "home" / "downloads" / FILE.name).write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match="its SHA-256 is"):
        fetch(FILE)
    assert fetch(FILE).read_bytes() == CONTENT


@pytest.mark.parametrize("behaviour, message", (("page", "a proxy's page"), ("missing", "answers 404")))
def test_wrong_answers_leave_nothing(server, tmp_path, behaviour, message):
    server.behaviour = behaviour
    with pytest.raises(DownloadError, match=message):
        fetch(FILE)
    assert {path.suffix for path in (tmp_path / "home" / "downloads").iterdir()} <= {".lock"}
    server.behaviour = "ranges"
    assert fetch(FILE).read_bytes() == CONTENT


def test_without_a_network(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError) as error:
        fetch(FILE)
    for hint in (FILE.name, str(tmp_path / "home" / "downloads"), "ecdc models import FILE", "cannot be fetched"):
        assert hint in str(error.value)
    done = command("models", "pull", "encodec_24khz")
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"encodec_24khz-d7cc33bc.th" in done.stderr


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ECDC_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(DownloadError, match="set ECDC_HOME"):
        fetch(FILE)
    done = command("models", "pull", "encodec_24khz")
    assert done.returncode == 1 and b"set ECDC_HOME" in done.stderr


def test_two_processes_at_once(server, tmp_path):
    program = (
        "import sys; from ecdc.models.download import fetch; from ecdc.models.known import Published\n"
        "print(fetch(Published(*sys.argv[1:])))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, FILE.name, HASH], cwd=ROOT, text=True, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0] and server.asked == [None]
    (path,) = paths
    assert open(path, "rb").read() == CONTENT


def test_pull_installs_codec_and_language_model(server, tmp_path, monkeypatch):
    """Random weights, under the hashes that they have."""
    import contextlib
    import dataclasses

    _, path, lm_path = save_official(tmp_path, "encodec_48khz", lm=True)
    files = []
    for file in (path, lm_path):
        data = file.read_bytes()
        files.append(Published(f"{file.stem}-{hashlib.sha256(data).hexdigest()[:8]}.th"))
        server.content[files[-1].name] = data
    monkeypatch.setitem(
        KNOWN, "encodec_48khz", dataclasses.replace(KNOWN["encodec_48khz"], codec=files[0], lm=files[1])
    )
    folder = pull_model("encodec_48khz", False, lambda name: contextlib.nullcontext(lambda done, total: None))
    check(command("models", "verify", "encodec_48khz"))
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.json",
        "exact_lm.safetensors",
        "float_lm.safetensors",
        "origin.json",
        "weights.safetensors",
    ]
    server.content.clear()
    with pytest.raises(DownloadError, match="404"):
        pull_model("encodec_48khz", True, lambda name: contextlib.nullcontext(lambda done, total: None))
    check(command("models", "verify", "encodec_48khz"))
    assert torch.load(path, weights_only=True)
    for name, message in (("encodec_32khz", b"facebook/encodec_32khz"), ("x", b"no address is known")):
        done = command("models", "pull", name)
        assert done.returncode == 1 and message in done.stderr


def test_nothing_is_fetched_unless_asked(server, tmp_path):
    for arguments in (
        ("models", "list"),
        ("models", "show", "ecdc_24khz"),
        ("compress", "-m", "encodec_24khz", "x.wav"),
        ("compress", "-r", "48", "x.wav"),
    ):
        command(*arguments, env={**os.environ, "HF_HUB_CACHE": str(tmp_path)})
    assert server.asked == []
