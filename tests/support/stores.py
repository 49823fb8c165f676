"""Stores of MLflow, most of them unfit: servers that are away, silent or wrong, and files that are broken."""

import http.server
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def answering(status: int, body: bytes, kind: str = "text/html") -> Iterator[str]:
    """A server that gives the same answer to everything; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), "Retry-After": "999"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def silent(connections: list[socket.socket] | None = None) -> Iterator[str]:
    """A server that accepts and never answers; yields its address."""
    held = [] if connections is None else connections
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection in held:
            connection.close()


def unused_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def alter(path: Path, statement: str) -> None:
    """Execute a statement on a SQLite file."""
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()


def cut(path: Path) -> None:
    """Cut a file off."""
    path.write_bytes(path.read_bytes()[:30_000])


def overwrite(path: Path) -> None:
    """Replace a file by noise."""
    path.write_bytes(os.urandom(50_000))


def replace_by_folder(path: Path) -> None:
    """Replace a file by a folder."""
    path.unlink()
    path.mkdir()


BROKEN_FILES: dict[str, tuple[Callable[[Path], None], str]] = {  # what befalls a store's file, and what is said of it
    "noise": (overwrite, "is not a whole SQLite database; move the file away"),
    "cut off": (cut, "is not a whole SQLite database; move the file away"),
    "folder": (replace_by_folder, "is a folder, not a SQLite file"),
    "older": (
        lambda path: alter(path, "UPDATE alembic_version SET version_num = '27a6a02d2cf1'"),
        "has tables of an older MLflow (27a6a02d2cf1); make a copy of it and bring it up to date",
    ),
    "newer": (
        lambda path: alter(path, "UPDATE alembic_version SET version_num = 'ffffffffffff'"),
        "has tables of a newer MLflow; install that version",
    ),
}
WRONG_ADDRESSES = {  # an address, and what is said of it
    f"http://127.0.0.1:{unused_port()}": "cannot be reached: connection refused; start the server",
    "http://nowhere.invalid:5000": "cannot be reached: no such host; check the address",
    "nonsense://somewhere": "is no address of a store that MLflow can use; give sqlite:///FILE",
    "http://host:port": "is no address of a store that MLflow can use; give sqlite:///FILE",
    "databricks": "lacks the credentials of Databricks; set DATABRICKS_HOST",
    "mysql+nodriver://user@127.0.0.1/db": "is no address of a store that MLflow can use; give sqlite:///FILE",
    "sqlite:////proc/nowhere/mlflow.db": "/proc/nowhere",
}
WRONG_ANSWERS = {  # status and body of an answer, and what is said of it
    (401, b"You are not authenticated"): "refuses the login; set MLFLOW_TRACKING_USERNAME",
    (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}'): "refuses the login; set MLFLOW_TRACKING_USERNAME",
    (404, b"<html>no such page</html>"): "gives an answer that is not one of MLflow's; check the address",
    (500, b"oops"): "answers with error 500; see the log of the server",
    (503, b"later"): "answers with error 503; see the log of the server",
    (200, b"<html>Welcome</html>"): "gives an answer that is not one of MLflow's; check the address",
    (200, b'{"experiment": {"name": "other"}}'): "gives an answer that is not one of MLflow's; check the address",
}
