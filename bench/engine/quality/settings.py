"""Settings of the quality metrics in a suite."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from bench.engine.quality.scorers import AnyScorer
from bench.engine.sample.settings import SamplesSpec
from bench.engine.settings import Settings

FEWEST = 100  # texts on each side of MAUVE: ten clusters of ten
ORDERS = range(1, 5)  # of n-grams


class QualitySpec(Settings):
    """How samples are measured, and against which text."""

    reference: Literal["valid", "test"] = (
        "valid"  # divergences are measured against it; the control "data" comes from the other one
    )
    copied: int = Field(16, ge=1)  # length of the substrings that are looked up in training
    ngram: int = Field(4, ge=1)  # order of the n-gram model among the controls
    mauve: bool = False  # of the scorer's features
    seed: int = Field(0, ge=0)  # of the controls and of MAUVE's clusters
    scorer: AnyScorer | None = None  # the language model behind generative perplexity

    @model_validator(mode="after")
    def mauve_has_features(self) -> "QualitySpec":
        if self.mauve and self.scorer is None:
            raise ValueError("mauve compares features of a scorer, and there is none; give evaluation.quality.scorer")
        return self

    def refusal(self, count: int, length: int, vocab_size: int, tokens: Mapping[str, int]) -> str | None:
        """Return the reason why `count` texts of `length` tokens cannot be measured against these splits, or None.

        `tokens` are the sizes of the splits.
        """
        fewest = min(tokens[split] for split in ("train", "valid", "test")) // length
        if fewest < 1:
            return f"a split holds no text of {length} tokens to compare with; draw shorter texts"
        if self.mauve and min(count, fewest) < FEWEST:
            sizes = f"{count} texts of {length} tokens beside {fewest} that are held out"
            return f"{sizes} are too few for mauve, which needs {FEWEST} of each; draw more, or set mauve to false"
        if (vocab_size + 1) ** self.ngram >= 2**63:
            return f"ngram {self.ngram} over {vocab_size:,} tokens does not fit in 63 bits; lower ngram"
        return self.length_refusal(length)

    def length_refusal(self, length: int) -> str | None:
        """Return the reason why texts of `length` tokens are too short for some metric, or None."""
        if length < max(ORDERS):
            return f"texts of {length} tokens hold no {max(ORDERS)}-gram; quality needs texts of {max(ORDERS)} tokens"
        if length < self.copied:
            advice = f"lower evaluation.quality.copied to at most {length}"
            return f"texts of {length} tokens hold no {self.copied} in a row that could be copied; {advice}"
        return None


class QualityStage(Settings):
    """Settings of a stage that measures texts."""

    quality: QualitySpec
    scorer: str | None = None  # id of the cell that is the suite's own scorer
    steps: int  # of the arms' training, which a scorer trained by the suite shares


class SamplesQualityStage(QualityStage):
    """Settings of a stage that measures samples."""

    samples: str  # folder of the stage that drew them
    way: SamplesSpec  # how they were drawn


class ControlsStage(QualityStage):
    """Settings of a stage that measures control texts."""

    count: int
    length: int  # tokens
