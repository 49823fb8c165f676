"""What is recorded of a suite, data set by data set."""

from collections.abc import Mapping
from pathlib import Path

from bench.results import mlflow_archive as mirror
from bench.results.suite_record import NoRecord, Record, read

Records = Mapping[str, Record | str]  # by the labels of the data sets, "" for one alone: a record, or why there is none


def read_all(
    runs: Path, names: Mapping[str, str], lost: Mapping[str, str] | None = None, uri: str | None = None
) -> Records:
    """The records of these names by the labels of their data, out of the folder of results or of the MLflow store at
    `uri`; those that are `lost` say so where they have none.

    Raises NoRecord where there is none at all, NotMirrored as `bench.results.mlflow_archive.read` does.
    """
    found: dict[str, Record | str] = {}
    for label, name in names.items():
        try:
            found[label] = mirror.read(uri, name) if uri else read(runs, name)
        except NoRecord as error:
            found[label] = (lost or {}).get(label, str(error))
    if not any(isinstance(each, Record) for each in found.values()):
        raise NoRecord("\n".join([*map(str, found.values()), *_others(runs, names)]))
    return found


def _others(runs: Path, names: Mapping[str, str]) -> list[str]:
    """Which records there are of scales and data sets of what was looked for by the name of the suite alone."""
    paths = sorted((runs / "suites").glob("*.json"))
    found = [path.stem for path in paths if "" in names and path.stem.startswith(f"{names['']}-")]
    return [f"there are {', '.join(found)}; a scale is named by --scale, a data set by --data"] if found else []
