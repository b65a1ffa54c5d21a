"""Fetches published files: resumed where a download broke off, checked against the hash in their names."""

from __future__ import annotations

import contextlib
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO, Callable, Optional

from filelock import FileLock, Timeout

from .. import __version__
from ..errors import EcdcError, ModelError
from .importing import check_hash
from .known import BASE_URL, Published
from .store import downloads_folder

MIRROR = "ECDC_MIRROR"
TIMEOUT = 30.0
PIECE = 1 << 16
# What no published file comes near: more means that something else is being sent.
MAX_BYTES = 1 << 30

Progress = Callable[[int, Optional[int]], None]


class DownloadError(ModelError):
    """A file could not be fetched; the message says how to do without."""


def fetch(published: Published, progress: Progress = lambda done, total: None) -> Path:
    """The path of a published file, downloaded unless it is there; `progress` hears of bytes done and in all.

    ECDC_MIRROR names another address to fetch from. Raises DownloadError.
    """
    folder = downloads_folder()
    target = folder / published.name
    url = (os.environ.get(MIRROR) or BASE_URL).rstrip("/") + "/" + published.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Of two processes one fetches, the other finds the file when its turn comes.
        with FileLock(target.with_suffix(".lock"), timeout=3600):
            if not target.exists():
                _download(url, target, progress)
            _check(target, published)
    except Timeout:
        raise DownloadError(f"another process has been fetching {published.name} for an hour: try again") from None
    except DownloadError as error:
        raise DownloadError(f"{error}. Without a network: put the file, from {url}, into {folder}, "
                            "or wherever it is: `ecdc models import FILE`") from None
    except OSError as error:
        raise DownloadError(f"{error.filename or folder}: {error.strerror or error}: "
                            "set ECDC_HOME to a folder that can be written to") from None
    return target


def _check(path: Path, published: Published) -> None:
    try:
        check_hash(path, published)
    except ModelError as error:
        # Not kept: the next attempt must not find it.
        path.unlink()
        raise DownloadError(f"{error} (what was fetched may be a proxy's page; it is deleted)") from None


def _download(url: str, target: Path, progress: Progress) -> None:
    part = target.with_suffix(".part")
    try:
        with open(part, "ab") as file:
            _receive(url, file, progress)
    except urllib.error.HTTPError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise DownloadError(f"{url}: the server answers {error.code} ({error.reason})") from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise DownloadError(f"{url}: cannot be fetched ({reason}); what has come is kept, "
                            "the next attempt goes on from there") from None
    os.replace(part, target)


def _receive(url: str, file: BinaryIO, progress: Progress) -> None:
    have = file.tell()
    request = urllib.request.Request(url, headers={"User-Agent": f"ecdc/{__version__}"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        # Nothing lies beyond what is there: it is whole, or of another file; the hash will tell.
        if have and error.code == 416:
            return
        raise
    with response:
        if have and response.status != 206:
            file.truncate(0)
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        while data := response.read1(PIECE):
            file.write(data)
            have += len(data)
            if have > MAX_BYTES:
                raise DownloadError(f"{url}: far longer than any published model")
            progress(have, total)
        if total is not None and have < total:
            raise ConnectionError(f"the connection broke off after {have} of {total} bytes")
