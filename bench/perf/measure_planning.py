"""`bench perf plan`: the time to read, plan and print suites of a thousand cells, as `bench plan` does."""

import io
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.plan.plan import plan
from bench.plan.status import PlanStatus, plan_status
from bench.suite.suite import read

SUITE = """\
question: How long does it take to plan this?
data: {source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}
network: {preset: micro}
budget: {steps: 6}
training: {batch_size: 8}
seeds: [0]
arms:
  - {label: base, method: mdlm}
"""


Show = Callable[[PlanStatus], None]


def speed(arms: int, show: Show) -> None:
    """Print the processor seconds for a grid of arms and for as many written-out arms; `show` prints a plan."""
    _seconds(SUITE, show)  # warm up imports and caches
    print(f"a grid of {arms:,} arms: {_seconds(SUITE + _grid(arms), show):.2f} s")
    print(f"{arms:,} arms that all differ: {_seconds(SUITE + _explicit(arms), show):.2f} s")


def _grid(arms: int) -> str:
    rates, steps = range(1, 1 + -(-arms // 10)), list(range(200, 210))
    varied = f"training.learning_rate: {[rate / 1e6 for rate in rates]}, options.steps: {steps}"
    return f"ablate: {{base: base, grid: {{{varied}}}}}\n"


def _explicit(arms: int) -> str:
    arm = "  - {{label: A{0}, method: mdlm, base: base, options: {{steps: {1}}}, training: {{learning_rate: {2}}}}}\n"
    return "".join(arm.format(index, 200 + index, (1 + index) / 1e6) for index in range(arms))


def _seconds(text: str, show: Show) -> float:
    """The processor time of `bench plan` without its imports, in seconds."""
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        path = Path(folder) / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        start = time.process_time()
        show(plan_status(plan(read(path)), Path(folder) / "runs"))
        return time.process_time() - start
