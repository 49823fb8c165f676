"""Settings of the network in a suite."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field, model_validator

from bench.engine.model.network import PRESETS, Shape
from bench.engine.settings import Settings


class NetworkSpec(Settings):
    """The transformer that every arm uses: a preset, optionally with some sizes replaced."""

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
        """The name of the preset, followed by the sizes that replace its own."""
        return ", ".join([self.preset, *(f"{name} {value}" for name, value in self._overrides().items())])

    def shape(self) -> Shape:
        """Return the sizes of the preset, with the overrides of the suite."""
        return Shape(**{**asdict(PRESETS[self.preset]), **self._overrides()})

    def _overrides(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, exclude={"preset"})
