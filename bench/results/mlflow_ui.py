"""MLflow's own page of a store."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from bench.engine.redaction import MASK
from bench.results.mlflow_errors import StoreError
from bench.results.mlflow_store import StoreClient
from bench.results.mlflow_tracking import tracking_uri

LOCAL = "127.0.0.1"


def find_page(runs: Path, port: int) -> str | None:
    """The address of the page if the store is a server, which has one; None if `serve` has to make it.

    Raises StoreError if the store cannot be used, or if the port is taken.
    """
    client = StoreClient(tracking_uri(runs))
    client.search_experiments(max_results=1)
    if client.uri.startswith(("http://", "https://")):
        return client.address.replace(f"{MASK}@", "")

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOCAL, port))
        except (OSError, OverflowError) as error:
            problem = f"cannot be shown at port {port} ({error})"
            raise StoreError(client.uri, problem, "choose another port: bench ui --port N") from None
    return None


def serve(runs: Path, port: int) -> int:
    """Serve the page until it is stopped; returns the exit code of MLflow.

    The address of the store is passed on in the environment: everybody can read the words of a command.
    """
    safe_path = {"PYTHONSAFEPATH": "1"}  # nothing that MLflow starts imports from the working folder
    environment = {**os.environ, **safe_path, "MLFLOW_BACKEND_STORE_URI": tracking_uri(runs)}
    command = [sys.executable, "-m", "mlflow", "ui", "--host", LOCAL, "--port", str(port)]
    try:
        return subprocess.call(command, env=environment)
    except KeyboardInterrupt:
        return 0
