"""What a suite may say about the quality of its texts."""

from typing import Literal

from pydantic import Field, model_validator

from bench.block import Block
from bench.scorers import AnyScorer

ORDERS = range(1, 5)  # of the n-grams that are counted and compared


class QualitySpec(Block):
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

    def why_not(self, length: int) -> str | None:
        """Why texts of so many tokens cannot be measured so; None where they can."""
        if length < max(ORDERS):
            return f"texts of {length} tokens hold no {max(ORDERS)}-gram; quality needs texts of {max(ORDERS)} tokens"
        if length < self.copied:
            way = f"lower evaluation.quality.copied to at most {length}"
            return f"texts of {length} tokens hold no {self.copied} in a row that could be copied; {way}"
        return None
