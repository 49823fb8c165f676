"""The error of every scorer: what cannot be had, and how it can."""

from bench.engine.errors import FieldError


class ScorerError(FieldError):
    """A scorer that cannot be had; `field` is the field of its block at fault, such as "model"."""
