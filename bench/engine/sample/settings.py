"""How texts are drawn."""

from typing import Any

from pydantic import Field

from bench.engine.sample.autoregressive import Truncation
from bench.engine.sample.policies import AnyPolicy
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.sampler import How
from bench.engine.settings import Settings


class SamplesSpec(Settings):
    """How texts are drawn; causal methods write left to right under `ancestral`, one call a token."""

    count: int = Field(4, ge=1)
    calls: int = Field(128, ge=1)  # network calls for all texts together; of a causal method one a token
    policy: AnyPolicy = Ancestral()  # how z is moved from noise to text
    greedy_last: bool = False  # the last guess is the likeliest token
    temperature: float = Field(1.0, gt=0)  # of drawn tokens; for vectors of the noise that a guess implies
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    length: int | None = Field(None, ge=1)  # tokens of a text; null: as in training; more: window by window
    stride: int | None = Field(None, ge=1)  # new tokens a window, where texts are longer; null: half of it
    arms: list[str] | None = None  # the labels of the arms that are sampled so; null: all

    def how(self) -> How:
        """What the sampler is told."""
        return How(self.calls, self.policy, Truncation(self.temperature, self.top_k, self.top_p), self.greedy_last)

    def science(self) -> dict[str, Any]:
        return {name: value for name, value in super().science().items() if name != "arms"}

    def is_for(self, arm: str) -> bool:
        """Whether an arm is sampled so."""
        return self.arms is None or arm in self.arms

    def for_causal(self) -> "SamplesSpec":
        """The same for a method that makes one call a token however many are asked for, so that it is drawn once."""
        return self.model_copy(update={"calls": SamplesSpec.model_fields["calls"].default})

    def family(self, causal: bool = False) -> str:
        """How, in words, but for the number of calls and the temperature, over which curves are drawn."""
        cuts = {"top_k": self.top_k, "top_p": self.top_p, "tokens": self.length, "stride": self.stride}
        said = [f"{name} {value}" for name, value in cuts.items() if value is not None]
        policy = "left to right" if causal else self.policy.label()
        return ", ".join([policy, *said, *(["greedy last guess"] if self.greedy_last else [])])

    def told(self, causal: bool) -> dict[str, Any]:
        """How, for tables and curves."""
        return {"how": self.label(causal), "family": self.family(causal), "temperature": self.temperature}

    def label(self, causal: bool = False) -> str:
        """How, in words: policy, what cuts off the law, calls and temperature."""
        calls = [] if causal else [f"{self.calls} calls"]
        temperature = [f"temperature {self.temperature:g}"] if self.temperature != 1 else []
        return ", ".join([self.family(causal), *calls, *temperature])
