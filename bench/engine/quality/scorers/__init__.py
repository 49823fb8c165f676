"""Scorers: language models that are no arms and assign likelihoods to the samples of the arms.

`AnyScorer` is what a suite may name; `bench.engine.quality.scorers.open_scorer.open_scorer` loads it.
"""

from bench.engine.quality.scorers.settings import SCORERS, AnyScorer, HuggingFace, ScorerSpec, Trained, TrainedCell
from bench.engine.setting_errors import ScorerError

__all__ = ["SCORERS", "AnyScorer", "HuggingFace", "ScorerError", "ScorerSpec", "Trained", "TrainedCell"]
