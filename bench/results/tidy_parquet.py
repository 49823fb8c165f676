"""The tidy table as a Parquet file, which records the version of its columns."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1  # raised if a column changes its meaning or its name, not if a column is added
KEY = b"diffusion-bench.schema"


class WrongSchema(ValueError):
    """A file whose columns are not those of this version."""


def write(table: "pd.DataFrame", path: Path) -> None:
    """Write the table; equal tables give equal bytes."""
    import pyarrow
    import pyarrow.parquet

    content = pyarrow.Table.from_pandas(table, preserve_index=False)
    metadata = {**(content.schema.metadata or {}), KEY: str(SCHEMA).encode()}
    pyarrow.parquet.write_table(content.replace_schema_metadata(metadata), path)


def read(path: Path) -> "pd.DataFrame":
    """Read the table in a file. Raises WrongSchema if it is of another version, or not a tidy table."""
    import pyarrow.parquet

    content = pyarrow.parquet.read_table(path)
    version = (content.schema.metadata or {}).get(KEY)
    if version is None:
        raise WrongSchema(f"{path} is no tidy table; those are written by bench report, as tidy.parquet")
    if version != str(SCHEMA).encode():
        raise WrongSchema(
            f"{path} is of schema {version.decode()}, and this version reads schema {SCHEMA}; "
            "write it again with: bench report"
        )
    return content.to_pandas()
