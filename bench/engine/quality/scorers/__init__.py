"""Scorers: language models that are no arms and assign likelihoods to the samples of the arms.

`AnyScorer` is what a suite may name; `bench.engine.quality.scorers.open_scorer.open_scorer` loads it.
"""

from bench.engine.invalid_setting import ScorerError
from bench.engine.quality.scorers.settings import SCORERS, AnyScorer, HuggingFace, ScorerSpec, Trained, TrainedCell

__all__ = ["SCORERS", "AnyScorer", "HuggingFace", "ScorerError", "ScorerSpec", "Trained", "TrainedCell"]
