"""What is wrong with a store of MLflow, in one sentence with the way out."""

import re

from bench.engine.redaction import redact

OTHER_STORE = "or name another store in MLFLOW_TRACKING_URI"
NO_ADDRESS = "is no address of a store that MLflow can use", "give sqlite:///FILE, http://HOST:PORT or a database's URI"
NO_SERVER = "gives an answer that is not one of MLflow's", f"check the address, {OTHER_STORE}"
AWAY = f"start the server, {OTHER_STORE}"
BROKEN_FILE = "is not a whole SQLite database", "move the file away, and a new one is written"
NO_LOGIN = (
    "refuses the login",
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to one that may write there",
)
EXPLANATIONS = tuple(  # what MLflow and the packages below it say -> the problem and the advice, with \1 filled in
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), problem, advice)
    for pattern, (problem, advice) in {
        r"read-?only (?:database|file system)": (
            "cannot be written, because it is read-only",
            f"make it writable, {OTHER_STORE}",
        ),
        r"database is locked": ("is locked by another process", "wait until that process ends, or end it"),
        r"file is not a database|disk image is malformed|no such (?:table|column)": BROKEN_FILE,
        r"unable to open database file": ("cannot be opened", f"check its path and who may write there, {OTHER_STORE}"),
        r"found version (\w+), but expected": (
            r"has tables of an older MLflow (\1)",
            f"make a copy of it and bring it up to date with: mlflow db upgrade URI, {OTHER_STORE}",
        ),
        r"no space left|disk is full|disk full": ("is out of space", f"free some, {OTHER_STORE}"),
        r"permission ?error|permission denied: '([^']*)'": (
            r"cannot be written: no permission for \1",
            f"change who may write there, {OTHER_STORE}",
        ),
        r"databricks (?:credential|authentication)": (
            "lacks the credentials of Databricks",
            f"set DATABRICKS_HOST and DATABRICKS_TOKEN, {OTHER_STORE}",
        ),
        r"No module named '?([\w.]+)'?": (r"needs the Python package \1", r"install it: pip install \1"),
        r"filesystem tracking backend": (
            "is a folder, a kind of store that MLflow gave up",
            "carry it over with: mlflow migrate-filestore, or name sqlite:///FILE in MLFLOW_TRACKING_URI",
        ),
        r"registered artifact repository for:? (\S+)": (
            r"keeps files at \1, which MLflow cannot use",
            "give its experiment another artifact location",
        ),
        r"unsupported URI|invalid url|could not parse sqlalchemy|unity catalog|can't load plugin": NO_ADDRESS,
        r"too many (\d+) error responses": (r"answers with error \1", "see the log of the server"),
        r"certificate|sslerror": (
            "has a certificate that is not trusted",
            "name the file that vouches for it in MLFLOW_TRACKING_SERVER_CERT_PATH",
        ),
        r"timed out|timeout": (
            "does not answer",
            "see whether the server works, or wait longer with MLFLOW_HTTP_REQUEST_TIMEOUT=SECONDS",
        ),
        r"connection refused": ("cannot be reached: connection refused", AWAY),
        r"failed to resolve|name or service not known|could not translate host": (
            "cannot be reached: no such host",
            f"check the address, {OTHER_STORE}",
        ),
        r"network is unreachable|no route to host": ("cannot be reached: no route to the host", AWAY),
        r"max retries|connection aborted|connection reset|remotedisconnected|server closed": (
            "cannot be reached: the connection broke",
            AWAY,
        ),
        r"error code 40[13]|unauthenticated|permission_denied|authentication failed|access denied": NO_LOGIN,
        r"valid JSON|redirects|error code \d+ != 200|error parsing|failed to parse": NO_SERVER,
        r"that the path is correct": ("does not hand out a file that it lists", "see whether its files can be reached"),
        r"'active' (?:state|lifecycle)|lifecycle_stage|run .{0,40}not found": (
            "lost a run while it was written",
            "restore the run in MLflow, or delete it for good",
        ),
    }.items()
)
FOUND_VERSION = re.compile(r"found version (\w+), but expected")
MISSING_FILE = re.compile(
    r"no such file|not exist|error code 404|not found|nosuchkey|that the path is correct", re.IGNORECASE
)
LONGEST = 200  # characters of an error that no explanation fits


class StoreError(ValueError):
    """A store of MLflow that cannot be used; `problem` is what is wrong, the message also names the store."""

    def __init__(self, uri: str, problem: str, advice: str, *, is_missing: bool = False):
        self.address, self.problem, self.advice = (redact(text, uri) for text in (uri, problem, advice))
        self.is_missing = is_missing  # a file of it does not exist, and the rest may be as it should
        super().__init__(f"MLflow's store {self.address} {self.problem}; {self.advice}")


def explain(uri: str, error: BaseException) -> StoreError:
    """An error of MLflow, or of a package below it, as a StoreError."""
    text = _describe(error)
    is_missing = bool(MISSING_FILE.search(text))
    version = FOUND_VERSION.search(text)
    if version and version[1] not in _schema_versions():
        advice = f"install that version: pip install -U mlflow, {OTHER_STORE}"
        return StoreError(uri, "has tables of a newer MLflow", advice)

    for pattern, problem, advice in EXPLANATIONS:
        if match := pattern.search(text):
            return StoreError(uri, match.expand(problem), match.expand(advice), is_missing=is_missing)
    summary = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return StoreError(uri, f"fails ({summary})", f"mend it, {OTHER_STORE}", is_missing=is_missing)


def _describe(error: BaseException) -> str:
    """The kind and the text of an error, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _schema_versions() -> set[str]:
    """The versions of a store's tables that the installed MLflow knows."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    return {script.revision for script in ScriptDirectory.from_config(_get_alembic_config("")).walk_revisions()}
