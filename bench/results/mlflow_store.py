"""The one way to MLflow: a client whose calls end in time and whose errors are all StoreErrors."""

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from bench.engine.redaction import redact
from bench.results.mlflow_errors import StoreError, explain

DEFAULTS = {  # environment variables of MLflow; what the user has set wins
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # which may ask for hours
    "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": "20",  # seconds
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # errors are raised, and MLflow would log them with their tracebacks
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # it prints the address of each run, with its login

MARGIN = 5.0  # seconds that a call may take beyond its time-outs
SLOWEST = 100_000  # bytes a second at which an upload is still waited for
TRIES_PER_DOWNLOAD = 3  # MLflow asks several times for one file


class StoreClient:
    """MLflow's client of the store at `uri`; its methods raise StoreError, and nothing else.

    Each call runs in a thread of its own: some of the libraries below MLflow wait without a limit, or try again for
    minutes, and neither may hold up a run.
    """

    def __init__(self, uri: str, *, reads_only: bool = False):
        """Open the store. Raises StoreError; if it `reads_only`, also for a SQLite file that does not exist."""
        self.uri, self.address = uri, redact(uri, uri)
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings of retries, which the error repeats
        path = sqlite_path(uri)
        if path is not None:
            self._run(check_sqlite, (uri, path, reads_only), {}, waiting_time())
        from mlflow import MlflowClient

        self._client = self._run(MlflowClient, (uri,), {}, waiting_time())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            return self._run(getattr(self._client, name), args, options, self._limit(name, args))

        return call

    def _limit(self, name: str, args: tuple[Any, ...]) -> float:
        """The seconds that a call may take: longer for files, by their size."""
        if name == "download_artifacts":
            return TRIES_PER_DOWNLOAD * waiting_time()
        size = Path(args[1]).stat().st_size if name == "log_artifact" else 0
        return waiting_time() + size / SLOWEST

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], limit: float) -> Any:
        outcomes: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def work() -> None:
            try:
                outcomes.put((function(*args, **options), None))
            except BaseException as error:  # MLflow passes on any error of its store
                outcomes.put((None, error))

        Thread(target=work, daemon=True).start()
        try:
            result, error = outcomes.get(timeout=limit)
        except Empty:
            error = TimeoutError(f"no answer within {limit:.0f} seconds")
        if isinstance(error, StoreError):
            raise error
        if error is not None:
            raise explain(self.uri, error) from None
        return result


def waiting_time() -> float:
    """The seconds that a call may take with the time-out and the retries of the environment."""
    try:
        timeout = float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
        tries = 1 + int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
        factor = float(os.environ.get("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "2"))
    except ValueError:  # MLflow itself refuses such a setting
        return 2 * float(DEFAULTS["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    pauses = sum(min(120.0, factor * 2**attempt) for attempt in range(1, tries - 1))  # none before the first retry
    return timeout * tries + pauses + MARGIN


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for other stores."""
    scheme, _, path = uri.partition(":///")
    return Path(path.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" and path else None


def check_sqlite(uri: str, path: Path, reads_only: bool) -> None:
    """Raise an error at once if a SQLite file cannot be used; MLflow would try again for minutes."""
    if path.is_dir():
        raise StoreError(uri, "is a folder, not a SQLite file", "name a file in it, such as sqlite:///FOLDER/mlflow.db")
    if not path.exists():
        if reads_only:
            raise StoreError(uri, "does not exist", "check the path, or write it with: bench sync")
        path.parent.mkdir(parents=True, exist_ok=True)
        return

    address = f"{path.absolute().as_uri()}?mode={'ro' if reads_only else 'rw'}"
    patience = waiting_time() - 2 * MARGIN if waiting_time() > 2 * MARGIN else 1.0  # seconds for another's lock
    with closing(sqlite3.connect(address, uri=True, timeout=patience)) as database:
        database.execute("SELECT count(*) FROM sqlite_master")
        if not reads_only:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
