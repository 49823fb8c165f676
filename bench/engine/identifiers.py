"""Ids and names that become parts of paths: whatever has another form could lead anywhere, and is refused."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

CELL_ID = r"^[0-9a-f]{12}$"
STAGE_NAME = r"^[a-z][a-z_]*$"
STAGE_FOLDER = r"^[a-z][a-z_]*(-[0-9a-f]{12})?$"  # NAME or NAME-ID
FORBIDDEN = re.compile(r"[/\x00-\x1f\x7f]")  # in the name of a suite, which names files and folders


def _check_file_name(name: str) -> str:
    if not name or name in (".", "..") or FORBIDDEN.search(name):
        raise ValueError(f"{name!r} cannot name a file")
    return name


CellId = Annotated[str, Field(pattern=CELL_ID)]
StageFolder = Annotated[str, Field(pattern=STAGE_FOLDER)]
SuiteName = Annotated[str, AfterValidator(_check_file_name)]
