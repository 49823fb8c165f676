"""A published text, fetched once into a folder of the user's cache."""

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
from bench.engine.errors import DataError

log = logging.getLogger(__name__)

VARIABLE = "DIFFUSION_BENCH_DATA"  # of the environment: a folder for fetched texts
PIECE = 1 << 16  # bytes that are read at once
PATIENCE = 60.0  # seconds without a single byte


def folder() -> Path:
    """Where fetched texts are kept: in $DIFFUSION_BENCH_DATA, or in diffusion-bench/ of the user's cache."""
    if own := os.environ.get(VARIABLE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "diffusion-bench"


def fetch(url: str, path: Path, fault: Callable[[bytes], str | None]) -> None:
    """Keeps, as `path`, the file of that name in the zip at `url`, whole or not at all.

    `fault` says what is wrong with its content, or None. Raises DataError("source") for whatever goes wrong.
    """
    _prepare(path.parent)
    log.info("fetching %s", url)
    content = _unpack(url, _download(url), path.name)
    if (reason := fault(content)) is not None:
        raise _failure(url, f"not what was published: {reason}")
    try:
        write(np.frombuffer(content, np.uint8), path)
    except OSError as error:
        raise _not_kept(path, error) from error
    log.info("kept %s, %s bytes", path, f"{len(content):,}")


def _prepare(target: Path) -> None:
    """Makes the folder, so that a wrong one is told before anything is fetched."""
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_kept(target, error) from error


def _download(url: str) -> bytes:
    """The bytes at `url`, with a bar where there is a terminal."""
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            size = int(answer.headers["Content-Length"] or 0)
            console, hidden = Console(stderr=True), not sys.stderr.isatty()
            with wrap_file(answer, size, description=url, console=console, disable=hidden) as stream:
                content = b"".join(iter(partial(stream.read, PIECE), b""))
    except (OSError, HTTPException) as error:
        raise _failure(url, str(error).strip("<>")) from error
    if len(content) < size:
        raise _failure(url, f"the connection ended after {len(content):,} of {size:,} bytes")
    return content


def _unpack(url: str, packed: bytes, name: str) -> bytes:
    """The file `name` of a zip."""
    try:
        return ZipFile(BytesIO(packed)).read(name)
    except (BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise _failure(url, f"not a whole zip with a file {name} ({error.args[0]})") from error


def _failure(url: str, reason: str) -> DataError:
    return DataError("source", f"{url}: {reason}; try again, or download and unzip it yourself and give it as path")


def _not_kept(path: Path, error: OSError) -> DataError:
    problem = f"{path}: cannot be written ({error.strerror or error})"
    return DataError("source", f"{problem}; name a folder for fetched texts with {VARIABLE}")
