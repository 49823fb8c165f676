"""Which cell is meant by a name on the command line."""

from collections.abc import Iterable
from pathlib import Path

from bench.engine import storage
from bench.engine.records import StoredSuite
from bench.results.record_names import resolve
from bench.results.suite_record import NoRecord
from methods.suggestions import suggest


def find(runs: Path, run: str) -> Path:
    """The folder of the cell that `run` names: SUITE/ARM, SUITE/ARM/SEED, an id or its beginning, or the folder.

    Raises NoRecord with all that there is, AmbiguousName if several suite files share the name.
    """
    if (Path(run) / "job.json").is_file():
        return Path(run).resolve()
    run = resolve(runs, run)
    ids = [path.parent.name for path in sorted((runs / "cells").glob("*/job.json"))]
    if not ids:
        raise NoRecord(f'no suite was run under "{runs}"; run one with: bench run suites/quickstart.yaml')
    cells, names = _named(runs)
    found = [names[run]] if run in names else [id for id in ids if id.startswith(run)]
    if len(found) == 1:
        return (runs / "cells" / found[0]).resolve()
    scaled = " or ".join(f'"{name}"' for name in _of_data_sets(run, names))
    suggestion = f"did you mean {scaled}?" if scaled else suggest(run, names)
    hint = f"; {suggestion}" if suggestion else "."
    what = f'{len(found)} cells begin with "{run}".' if found else f'there is no cell "{run}" under "{runs}"{hint}'
    listed = [f"  {name}  {id}" for name, id in cells.items()]
    listed += [f"  {id}" for id in ids if id not in cells.values()]
    raise NoRecord("\n".join([f"{what} There are (without a seed: the first one)", *listed]))


def _of_data_sets(run: str, names: Iterable[str]) -> list[str]:
    """The names that differ from SUITE/ARM or SUITE/ARM/SEED by a scale or the label of a data set: SUITE-LABEL/ARM."""
    suite, _, arm = run.partition("/")
    return [name for name in sorted(names) if arm and name.startswith(f"{suite}-") and name.partition("/")[2] == arm]


def read_suites(runs: Path) -> list[StoredSuite]:
    """The records of all suites under `runs`, in the order of their names. Raises BrokenRecord."""
    names = sorted(path.stem for path in (runs / "suites").glob("*.json"))
    suites = (storage.read_suite(runs, name) for name in names)
    return [suite for suite in suites if suite is not None]


def _named(runs: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The ids of the cells that suites ask for by SUITE/ARM/SEED, and by SUITE/ARM, the first, as well."""
    pairs = [(f"{suite.suite}/{cell.arm}", cell) for suite in read_suites(runs) for cell in suite.cells if cell.method]
    by_seed = {f"{name}/{cell.seed}": cell.id for name, cell in pairs}
    return by_seed, by_seed | {name: cell.id for name, cell in reversed(pairs)}
