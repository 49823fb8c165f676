"""The blocks that a suite is made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """A mapping of a suite: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def science(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as they are hashed."""
        return self.model_dump(mode="json", exclude_defaults=True)
