"""Whether a result is stale: made by other code than the code that would make it now."""

from bench.engine.code_hash import code_fingerprint, with_stage, written_in
from bench.engine.records import StageResult
from methods import METHODS


def is_stale(result: StageResult, stage: str, method: str) -> bool:
    """Whether other code made this result of a stage. A result that names no code counts as fresh."""
    code = result.environment.get("code")
    if code is None or (method and method not in METHODS):
        return False
    return code != code_fingerprint(with_stage(written_in(method) if method else (), stage))
