"""Downloads a text once into a folder of the user's cache."""

import logging
import os
import sys
import zlib
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen
from zipfile import BadZipFile, ZipFile

import numpy as np
from rich.console import Console
from rich.progress import wrap_file

from bench.engine.data.dataset import write
from bench.engine.invalid_setting import DataError
from bench.engine.record_files import StorageFull

log = logging.getLogger(__name__)

VARIABLE = "DIFFUSION_BENCH_DATA"  # environment variable: the folder of downloaded texts
CHUNK = 1 << 16  # bytes that are read at once
TIMEOUT = 60.0  # seconds without a single byte


def cache_folder() -> Path:
    """Return the folder of downloaded texts: $DIFFUSION_BENCH_DATA, or diffusion-bench/ in the user's cache."""
    if folder := os.environ.get(VARIABLE):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "diffusion-bench"


def fetch(url: str, path: Path, check: Callable[[bytes], str | None]) -> None:
    """Download the zip at `url` and save its member named as `path`, completely or not at all.

    `check` returns what is wrong with the content, or None. Raises DataError("source") if any step fails.
    """
    _make_folder(path.parent)
    log.info("fetching %s", url)
    content = _unpack(url, _download(url), path.name)
    if (problem := check(content)) is not None:
        raise _failure(url, f"not what was published: {problem}")
    try:
        write(np.frombuffer(content, np.uint8), path)
    except StorageFull:
        raise
    except OSError as error:
        raise _not_writable(path, error) from error
    log.info("kept %s, %s bytes", path, f"{len(content):,}")


def _make_folder(folder: Path) -> None:
    """Create the folder, so that a wrong one is reported before the download."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error


def _download(url: str) -> bytes:
    """Return the bytes at `url`; show a progress bar on a terminal."""
    try:
        with urlopen(url, timeout=TIMEOUT) as response:
            size = int(response.headers["Content-Length"] or 0)
            console, hidden = Console(stderr=True), not sys.stderr.isatty()
            with wrap_file(response, size, description=url, console=console, disable=hidden) as stream:
                content = b"".join(iter(partial(stream.read, CHUNK), b""))
    except (OSError, HTTPException) as error:
        raise _failure(url, str(error).strip("<>")) from error
    if len(content) < size:
        raise _failure(url, f"the connection ended after {len(content):,} of {size:,} bytes")
    return content


def _unpack(url: str, archive: bytes, name: str) -> bytes:
    """Return the file `name` of a zip archive."""
    try:
        return ZipFile(BytesIO(archive)).read(name)
    except (BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise _failure(url, f"not a whole zip with a file {name} ({error.args[0]})") from error


def _failure(url: str, reason: str) -> DataError:
    return DataError("source", f"{url}: {reason}; try again, or download and unzip it yourself and give it as path")


def _not_writable(path: Path, error: OSError) -> DataError:
    problem = f"{path}: cannot be written ({error.strerror or error})"
    return DataError("source", f"{problem}; name a folder for fetched texts with {VARIABLE}")
