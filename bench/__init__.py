"""diffusion-bench: families of text diffusion on one transformer, compared so that the comparison can be believed.

import bench
bench.load("runs")   # every recorded number as a pandas DataFrame
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def load(runs: "str | Path") -> "pd.DataFrame":
    """The tidy table of all suites under `runs`: a row for each cell, metric and point, failed ones included.

    Raises ValueError when no suite was run there.
    """
    from bench.results.suite_record import load as load_results

    return load_results(runs)
