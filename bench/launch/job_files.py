"""Job files: a plan on disk, as a job.json for each worker and the record of the suite."""

import logging
from dataclasses import asdict
from pathlib import Path

from bench.engine import storage
from bench.engine.records import DataFacts, Job, StoredCell, StoredSuite
from bench.plan.budget import budget_due
from bench.plan.cells import Cell, Plan, folder_of, merge_stages
from bench.plan.cost import stage_work
from bench.plan.warnings import texts_to_record
from bench.results.record_names import record_name, stored_path
from bench.results.staleness import roots_to_record
from methods import PLUGINS

log = logging.getLogger(__name__)


def submit(runs: Path, plan: Plan) -> None:
    """Write the jobs of a plan and the record of its suite, so that status and reports know what belongs to it."""
    suite = plan.suite
    assert suite.facts.is_read, f"the data of suite {suite.name} were not read"
    assert suite.tune is None or suite.winners, f"suite {suite.name} is tuned, but its arms lack the tuned settings"

    for cell in merge_stages(plan.all):
        try:
            storage.write_record(folder_of(runs, cell) / "job.json", make_job(plan, cell))
        except storage.BrokenRecord as error:  # the cell fails with this reason, and the others go on
            log.error("%s", error)
    name = record_name(runs, suite.file, suite.name)
    storage.write_record(storage.suite_file(runs, name), store(plan, name, stored_path(runs, suite.file)))


def make_job(plan: Plan, cell: Cell) -> Job:
    """Everything that the worker of a cell needs to know."""
    spec, facts = plan.suite.spec, plan.suite.facts
    plugin = PLUGINS.get(cell.method)
    names_seed = len(spec.seeds) > 1 and cell.role == "arm"
    work = stage_work(plan.suite, cell)
    return Job(
        title=f"{cell.arm}, seed {cell.seed}" if names_seed else cell.arm,
        method=cell.method,
        plugin=str(plugin.path) if plugin and plugin.path else None,
        options=cell.options,
        vocab_size=facts.vocab_size,
        network=cell.science.get("network", {}),
        training=cell.training.model_dump(mode="json"),
        steps=cell.steps,
        seed=cell.seed,
        data=spec.data.model_dump(mode="json"),
        part=cell.science["data"].get("part", ""),
        base=str(plan.suite.base),
        fingerprint=facts.fingerprint,
        execution=cell.execution.model_dump(mode="json"),
        due={} if cell.role == "control" else budget_due(cell.amount, cell.budget),
        stages=tuple(stage.model_copy(update={"work": work[stage.folder]}) for stage in cell.stages),
        science=cell.science,
    )


def store(plan: Plan, name: str, file: str) -> StoredSuite:
    """The record of a suite under a name, with the path of its file."""
    suite = plan.suite
    return StoredSuite(
        suite=name,
        file=file,
        question=suite.spec.question,
        asked=suite.arguments,
        source=suite.source,
        facts=DataFacts(**asdict(suite.facts)),
        network=suite.spec.network.label,
        cells=tuple(store_cell(cell) for cell in plan.all),
        tuning=None if suite.winners is None else suite.winners.as_record(suite.spec.arms),
        warnings=texts_to_record(plan),
    )


def store_cell(cell: Cell) -> StoredCell:
    """A cell as the record of its suite lists it."""
    return StoredCell(
        id=cell.id,
        arm=cell.arm,
        method=cell.method,
        options=cell.options,
        seed=cell.seed,
        stages=cell.stages,
        science=cell.science,
        role=cell.role,
        base=cell.base,
        steps=cell.steps,
        tokens=cell.tokens,
        flops=cell.flops,
        network=cell.network.label,
        training=cell.training.model_dump(mode="json"),
        roots=roots_to_record(cell.method),
    )
