"""What a suite may say about the quality of its texts."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from bench.engine.quality.scorers import AnyScorer
from bench.engine.sample.settings import SamplesSpec
from bench.engine.settings import Settings

FEWEST = 100  # texts on either side that MAUVE is taken of: ten clusters of ten
ORDERS = range(1, 5)  # of the n-grams that are counted and compared


class QualitySpec(Settings):
    """How texts are measured, and beside what."""

    reference: Literal["valid", "test"] = "valid"  # divergences are from it, the row "data" comes from the other
    copied: int = Field(16, ge=1)  # tokens of a substring that counts as copied from training
    ngram: int = Field(4, ge=1)  # order of the control that is an n-gram model
    mauve: bool = False  # of the scorer's features
    seed: int = Field(0, ge=0)  # of the controls and of MAUVE's clusters
    scorer: AnyScorer | None = None  # what generative perplexity is taken under

    @model_validator(mode="after")
    def mauve_has_features(self) -> "QualitySpec":
        if self.mauve and self.scorer is None:
            raise ValueError("mauve compares features of a scorer, and there is none; give evaluation.quality.scorer")
        return self

    def refusal(self, count: int, length: int, vocab_size: int, tokens: Mapping[str, int]) -> str | None:
        """Why so many texts of so many tokens cannot be measured beside splits of so many `tokens`; None where they
        can."""
        fewest = min(tokens[split] for split in ("train", "valid", "test")) // length
        if fewest < 1:
            return f"a split holds no text of {length} tokens to compare with; draw shorter texts"
        if self.mauve and min(count, fewest) < FEWEST:
            there = f"{count} texts of {length} tokens beside {fewest} that are held out"
            return f"{there} are too few for mauve, which needs {FEWEST} of each; draw more, or set mauve to false"
        if (vocab_size + 1) ** self.ngram >= 2**63:
            return f"ngram {self.ngram} over {vocab_size:,} tokens does not fit in 63 bits; lower ngram"
        return self.too_short(length)

    def too_short(self, length: int) -> str | None:
        """Why texts of so many tokens hold too few for some metric; None where they do not."""
        if length < max(ORDERS):
            return f"texts of {length} tokens hold no {max(ORDERS)}-gram; quality needs texts of {max(ORDERS)} tokens"
        if length < self.copied:
            way = f"lower evaluation.quality.copied to at most {length}"
            return f"texts of {length} tokens hold no {self.copied} in a row that could be copied; {way}"
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
