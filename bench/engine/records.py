"""The records that travel from plan to worker to report. Each file on disk is written and read by one class of these.

    RUNS/suites/NAME.json              StoredSuite: what a suite asked for, cell by cell
    RUNS/cells/ID/job.json             Job: what a worker has to do
    RUNS/cells/ID/STAGE/result.json    StageResult: what a stage measured, a subclass for each kind of stage
    RUNS/cells/ID/STAGE/failure.json   Failure: why it failed

Fields with defaults may be missing in files written by an earlier version; `OLD_KEYS` maps the keys that it used.
"""

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from bench.engine.identifiers import CELL_ID, STAGE_FOLDER, STAGE_NAME, CellId, StageFolder, SuiteName
from bench.engine.measurements import CONFIG, BatchProbe, CurvePoint, Measurement, TimeDensity, Trajectory

Role = Literal["arm", "scorer", "control"]

OLD_KEYS = {"block": "settings", "promise": "due"}  # of files written by an earlier version -> today's


class Record(BaseModel):
    """A frozen record. Unknown keys are ignored, so that an older version reads what a newer one wrote."""

    model_config = CONFIG

    @model_validator(mode="before")
    @classmethod
    def rename_old_keys(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        return {OLD_KEYS.get(key, key): value for key, value in content.items()}


class Work(Record):
    """Computation that a stage performs, with its cost."""

    kind: str  # "training", "bound", "drawing" or "drawing left to right": kinds run at different speeds
    flops: float


class Stage(Record):
    """One step in the life of a cell: its training, its bound, its samples."""

    name: Annotated[str, Field(pattern=STAGE_NAME)]
    id: CellId  # hash of everything that its numbers depend on
    settings: dict[str, Any] = {}  # all of the stage's settings; checked by the stage that runs them
    folder: StageFolder = ""  # inside the cell's folder
    work: tuple[Work, ...] = ()  # empty if the cost is unknown

    @model_validator(mode="before")
    @classmethod
    def name_the_folder(cls, content: Any) -> Any:
        if not isinstance(content, dict) or content.get("folder") or not {"name", "id"} <= content.keys():
            return content
        name = content["name"]
        return {**content, "folder": name if name == "train" else f"{name}-{content['id']}"}

    @field_validator("settings")
    @classmethod
    def name_only_folders(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Raise ValueError if a setting that names another stage, or the cell of a scorer, is no such name."""
        for key, pattern in (("samples", STAGE_FOLDER), ("scorer", CELL_ID)):
            name = settings.get(key)
            if isinstance(name, str) and not re.fullmatch(pattern, name):
                raise ValueError(f"{key} {name!r} names no folder of results")
        return settings


class Job(Record):
    """Everything that a worker needs to know about its cell."""

    title: str  # for people
    method: str  # "" for control texts
    plugin: str | None = None  # file that defines the method
    options: dict[str, Any]
    vocab_size: int
    network: dict[str, Any]
    training: dict[str, Any]
    steps: int
    seed: int
    data: dict[str, Any]
    part: str = ""  # "reserve": trained on the part of the data that no arm sees
    base: str  # folder that relative paths start from
    fingerprint: str  # of the data
    execution: dict[str, Any]
    due: dict[str, tuple[float, float]] = {}  # training owed, by unit: the amount and its tolerance
    stages: tuple[Stage, ...]
    science: dict[str, Any]  # what the cell's id is the hash of


class DataFacts(Record):
    """Sizes and identity of the data of a suite; see `bench.engine.data.source_summary`."""

    source: str = ""
    length: int = 0  # tokens of a sequence
    vocab_size: int = 0
    level: str = ""  # what a token is: "char", "byte", ...
    sequences: dict[str, int] = {}  # by split
    tokens: dict[str, int] = {}  # by split
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    entropy_nats: float | None = None  # exact entropy of a sequence
    unigram_nats: float | None = None  # per token
    sequences_in_training: dict[str, int] = {}  # by split; empty if it was not counted
    passages_in_training: dict[str, int] = {}
    sequences_in_reserve: dict[str, int] = {}
    passages_in_reserve: dict[str, int] = {}
    repeated_sequences: dict[str, int] = {}
    repeated_passages: dict[str, int] = {}
    unseen_tokens: dict[str, int] = {}
    symbols_seen_once: int = 0
    suspect_characters: dict[str, int] = {}  # by name


class StoredCell(Record):
    """A cell as the record of its suite lists it."""

    id: CellId
    arm: str
    method: str = ""
    options: dict[str, Any] = {}
    seed: int
    stages: tuple[Stage, ...]
    science: dict[str, Any] = {}
    role: Role = "arm"
    base: str | None = None  # label of the arm that it is compared with
    steps: int = 0
    tokens: int = 0
    flops: float = 0.0
    network: str = ""  # label
    training: dict[str, Any] = {}
    roots: dict[str, tuple[str, ...]] = {}  # definitions that the method's code starts from, by use

    def stage(self, name: str) -> Stage | None:
        """The first stage of that name, if there is one."""
        return next((stage for stage in self.stages if stage.name == name), None)


class StoredSuite(Record):
    """The record of a suite: its question, its data and its cells."""

    suite: SuiteName
    question: str = ""
    asked: str = ""  # words that name the suite on the command line
    file: str | None = None  # the suite's file; see bench.results.record_names
    source: str = ""  # YAML text
    facts: DataFacts
    network: str = ""  # label of the network that arms share
    cells: tuple[StoredCell, ...]
    tuning: dict[str, Any] | None = None  # see bench.suite.tuning.lock_file
    warnings: tuple[str, ...] = ()  # of its plan, without those that the facts tell

    @model_validator(mode="after")
    def fill_in_networks(self) -> Self:
        """Cells recorded by an earlier version share the suite's network."""
        if all(cell.network for cell in self.cells):
            return self
        cells = tuple(cell.model_copy(update={"network": cell.network or self.network}) for cell in self.cells)
        return self.model_copy(update={"cells": cells})


class Failure(Record):
    """Why a stage failed."""

    reason: str  # one line, for tables
    traceback: str = ""


class StageResult(Record):
    """What a stage measured, and where."""

    stage: ClassVar[str]
    arrays: ClassVar[tuple[str, ...]] = ()  # files beside the result that reports read

    environment: dict[str, str] = {}
    settings: dict[str, Any] = {}
    seconds: float | None = None
    files: dict[str, str] = {}  # SHA-256 of the files beside the result that its numbers depend on, by name

    @property
    def counted(self) -> dict[str, float]:
        """Training that the stage performed, by unit."""
        return {}


class TrainResult(StageResult):
    """A finished training run."""

    stage = "train"

    steps: int | None = None
    tokens: int | None = None
    flops: float | None = None
    epochs: float | None = None
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    parameters: int | None = None
    parameters_non_embedding: int | None = None
    parameters_method: int | None = None
    curve: dict[str, list[CurvePoint]] = {}  # "train" and "valid"
    learned: dict[str, float | dict[str, float]] = {}  # the method's own parameters; by token if there is one each
    warnings: list[str] = []  # checkpoints that were damaged, so that steps were repeated

    @property
    def counted(self) -> dict[str, float]:
        counts = {"steps": self.steps, "tokens": self.tokens, "flops": self.flops}
        return {unit: count for unit, count in counts.items() if count is not None}


class BoundResult(StageResult):
    """A likelihood bound, or a likelihood."""

    stage = "bound"
    arrays = ("sequences.npz",)

    split: str = ""
    kind: str = ""  # "exact" or "bound"
    estimator: str = ""
    network_calls: int | None = None
    measures: dict[str, Measurement] = {}
    profile: TimeDensity | None = None
    source_nats: Measurement | None = None  # the source's own cost of the same sequences
    batch_probe: BatchProbe | None = None  # None: recorded by an earlier version, which did not probe
    protocol: str = ""


class EstimateResult(BoundResult):
    """The bound of the same cell by another estimator or other noise draws."""

    stage = "estimate"


class DrawnResult(StageResult):
    """How samples were drawn."""

    how: str = ""
    family: str = ""
    temperature: float = 1.0
    network_calls: int | None = None


class SamplesResult(DrawnResult):
    """Samples and what they cost."""

    stage = "samples"

    texts: list[str] = []
    ids: list[list[int]] = []
    cut_off_share: float | None = None
    seconds_per_sequence: float | None = None
    tokens_per_second: float | None = None
    sample_nats: Measurement | None = None  # the source's own cost of the samples


class TrajectoriesResult(DrawnResult):
    """Samples with what every network call was shown."""

    stage = "trajectories"

    grid: str = ""
    symbols: list[str] = []
    texts: list[Trajectory] = []
    finals: list[str] = []


class QualityResult(DrawnResult):
    """Quality metrics of the samples of another stage."""

    stage = "quality"

    measures: dict[str, Measurement] = {}
    protocol: str = ""


class QualityMetrics(Record):
    """Quality metrics of texts, and the protocol that the numbers depend on."""

    measures: dict[str, Measurement] = {}
    protocol: str = ""


class ControlResult(QualityMetrics):
    """Quality metrics of one kind of control text, with examples."""

    texts: list[str] = []


class ControlsResult(StageResult):
    """Quality metrics of held-out text and of adversaries."""

    stage = "controls"

    controls: dict[str, ControlResult] = {}


RESULTS: dict[str, type[StageResult]] = {  # by stage, in the order in which stages run
    kind.stage: kind
    for kind in (
        TrainResult,
        BoundResult,
        EstimateResult,
        SamplesResult,
        TrajectoriesResult,
        QualityResult,
        ControlsResult,
    )
}
