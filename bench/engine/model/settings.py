"""The network of a suite: a preset, or sizes of its own."""

from dataclasses import asdict
from typing import Literal

from pydantic import Field, model_validator

from bench.engine.model.network import PRESETS, Shape
from bench.engine.settings import Settings


class NetworkSpec(Settings):
    """The transformer that every arm is given: a preset, or a preset with sizes of one's own."""

    preset: Literal["micro", "tiny", "small", "medium"]
    layers: int | None = Field(None, ge=1)
    width: int | None = Field(None, ge=2)
    heads: int | None = Field(None, ge=1)
    condition: int | None = Field(None, ge=1)
    mlp: Literal["gelu", "swiglu"] | None = None
    gates: Literal["zero", "open"] | None = None
    dropout: float | None = Field(None, ge=0, lt=1)

    @model_validator(mode="after")
    def heads_divide_the_width(self) -> "NetworkSpec":
        shape = self.shape()
        if shape.width % (2 * shape.heads):
            raise ValueError(f"width {shape.width} is not an even multiple of {shape.heads} heads")
        return self

    @property
    def label(self) -> str:
        """The preset's name, with the sizes that are not its own."""
        own = self.model_dump(exclude_none=True, exclude={"preset"})
        return ", ".join([self.preset, *(f"{name} {value}" for name, value in own.items())])

    def shape(self) -> Shape:
        """The preset's sizes, with those that the suite gives in their place."""
        own = self.model_dump(exclude_none=True, exclude={"preset"})
        return Shape(**{**asdict(PRESETS[self.preset]), **own})
