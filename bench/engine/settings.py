"""The base class of all settings that a suite may hold."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A mapping in a suite; unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def science(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, as they are hashed into ids."""
        return self.model_dump(mode="json", exclude_defaults=True)
