"""The tidy table read back from CSV: text stays text, whatever it looks like, and numbers are numbers."""

from pathlib import Path

import pandas as pd

from bench.results.tidy_table import COLUMNS

MISSING = {float: "nan", int: "0"}  # what an empty field means


class NotTidy(ValueError):
    """A file that is no tidy table."""


def read(path: Path) -> pd.DataFrame:
    """Read the table in a file; columns that this version does not know are text. Raises NotTidy."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise NotTidy(f"{path} cannot be read as a results file ({reason}); give a tidy.csv of bench report") from None
    for name in filter(is_number, table.columns):
        table[name] = to_numbers(path, table[name])
    return table


def is_number(column: str) -> bool:
    """Whether a column of the tidy table holds numbers."""
    return type(COLUMNS.get(column)) in MISSING


def to_numbers(path: Path, texts: "pd.Series[str]") -> "pd.Series[float]":
    """A column of texts as numbers of its type. Raises NotTidy with the line of what is no number."""
    kind = type(COLUMNS[str(texts.name)])
    numbers = pd.to_numeric(texts.where(texts != "", MISSING[kind]), errors="coerce")
    is_wrong = numbers.isna() & ~texts.str.lower().isin(["", "nan"])
    if kind is int:
        is_wrong |= numbers.isna() | (numbers % 1 != 0)
    if is_wrong.any():
        row = int(is_wrong.to_numpy().argmax())
        raise NotTidy(f'{path}, row {row + 1}: {texts.name} is "{texts.iloc[row]}", which is no number')
    return numbers.astype(kind)
