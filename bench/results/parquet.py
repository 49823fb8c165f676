"""The tidy table as a Parquet file, which says by which version of its columns it was written."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1  # raised when a column changes its meaning or its name; a new column does not raise it
KEY = b"diffusion-bench.schema"


class WrongSchema(ValueError):
    """A file of other columns than this version reads."""


def write(table: "pd.DataFrame", path: Path) -> None:
    """Writes the table; equal tables give equal bytes."""
    import pyarrow
    import pyarrow.parquet

    content = pyarrow.Table.from_pandas(table, preserve_index=False)
    known = dict(content.schema.metadata or {})
    pyarrow.parquet.write_table(content.replace_schema_metadata({**known, KEY: str(SCHEMA).encode()}), path)


def read(path: Path) -> "pd.DataFrame":
    """The table in a file; raises WrongSchema where it is of another version, or not a tidy table."""
    import pyarrow.parquet

    content = pyarrow.parquet.read_table(path)
    version = (content.schema.metadata or {}).get(KEY)
    if version is None:
        raise WrongSchema(f"{path} is no tidy table; those are written by bench report, as tidy.parquet")
    if version != str(SCHEMA).encode():
        told = f"{path} is of schema {version.decode()}, and this version reads schema {SCHEMA}"
        raise WrongSchema(f"{told}; write it again with: bench report")
    return content.to_pandas()
