"""What is wrong with a name that looks like a path and leads to no results."""

from pathlib import Path

from bench.results.name_meanings import is_explicit_path

SUFFIXES = (".csv", ".json", ".parquet", ".yaml", ".yml")  # of files that commands take


def describe_missing_path(name: str) -> str:
    """That there is no such file or folder, or no results in it; "" if the name does not look like a path."""
    parts = Path(name).parts
    leading = [Path(*parts[:count]) for count in range(1, len(parts) + 1)]
    for path in leading:
        if path.suffix in SUFFIXES and not path.exists():
            return f'there is no file "{path}"'

    path = Path(name)
    if path.is_dir():
        return f'the folder "{name}" holds no results' if any(path.iterdir()) else f'the folder "{name}" is empty'
    if path.is_file():
        return f'"{name}" is no results file; those are tidy.csv and tidy.parquet of bench report'
    if is_explicit_path(name) or (len(parts) > 1 and leading[0].exists()):
        return f'there is no file or folder "{name}"'
    return ""


def describe_missing_suite(path: Path) -> str:
    """That a suite file does not exist, or is a folder; "" for a bare name."""
    if path.is_dir():
        return f'"{path}" is a folder, not a suite file'
    is_path = path.suffix in SUFFIXES or len(path.parts) > 1
    return f'there is no file "{path}"' if is_path and not path.is_file() else ""
