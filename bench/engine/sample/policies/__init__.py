"""The registry of sampling policies; each says for which methods it is right. A new one is a class in a file here."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bench.engine.sample.method_capabilities import is_masked
from bench.engine.sample.policies.ancestral import Ancestral, Ddim, Euler
from bench.engine.sample.policies.policy import Policy, times
from bench.engine.sample.policies.remasking import Remask, SelfCorrect
from bench.engine.sample.policies.unmasking import Confidence, EntropyBounded, FirstHitting, Margin

__all__ = ["POLICIES", "AnyPolicy", "Policy", "is_masked", "named", "times"]

POLICIES: dict[str, type[Policy]] = {
    str(kind.model_fields["name"].default): kind
    for kind in (Ancestral, Euler, Ddim, FirstHitting, Confidence, Margin, EntropyBounded, Remask, SelfCorrect)
}


def spelled_out(value: Any) -> Any:
    """Expand the short form `ancestral` to {name: ancestral}."""
    return {"name": value} if isinstance(value, str) else value


AnyPolicy = Annotated[
    Ancestral | Euler | Ddim | FirstHitting | Confidence | Margin | EntropyBounded | Remask | SelfCorrect,
    Field(discriminator="name"),
    BeforeValidator(spelled_out),
]


def named(policy: Policy | str) -> Policy:
    """Return the policy itself, or the one of that name with its defaults."""
    return POLICIES[policy](name=policy) if isinstance(policy, str) else policy
