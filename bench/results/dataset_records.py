"""The records of a suite, data set by data set."""

from collections.abc import Mapping
from pathlib import Path

from bench.engine.record_files import BrokenRecord
from bench.results import mlflow_archive
from bench.results.suite_record import NoRecord, SuiteRecord, read

Records = Mapping[str, SuiteRecord | str]  # a record, or why it is missing, by label of the data set ("" for one alone)


def read_all(
    runs: Path, names: Mapping[str, str], lost: Mapping[str, str] | None = None, uri: str | None = None
) -> Records:
    """Read the records with these names, by the labels of their data sets.

    They come from the folder of results, or from the MLflow store at `uri`. `lost` holds the reasons for data sets that
    are known to have no record. Raises NoRecord if there is no record at all, BrokenRecord if the only one is broken,
    IncompleteArchive as `bench.results.mlflow_archive.read` does.
    """
    records: dict[str, SuiteRecord | str] = {}
    for label, name in names.items():
        try:
            records[label] = mlflow_archive.read(uri, name) if uri else read(runs, name)
        except NoRecord as error:
            records[label] = (lost or {}).get(label, str(error))
        except BrokenRecord as error:
            if len(names) == 1:
                raise
            records[label] = str(error)

    if not any(isinstance(record, SuiteRecord) for record in records.values()):
        raise NoRecord("\n".join([*map(str, records.values()), *_suggestions(runs, names)]))
    return records


def _suggestions(runs: Path, names: Mapping[str, str]) -> list[str]:
    """The records of scales and data sets of a suite that was named without either."""
    if "" not in names:
        return []
    paths = sorted((runs / "suites").glob("*.json"))
    variants = [path.stem for path in paths if path.stem.startswith(f"{names['']}-")]
    if not variants:
        return []
    return [f"there are {', '.join(variants)}; a scale is named by --scale, a data set by --data"]
