"""The error of every scorer: what cannot be had, and how it can."""


class ScorerError(ValueError):
    """A scorer that cannot be had; `field` is the field of its block at fault, such as "model" or "path"."""

    def __init__(self, field: str, message: str):
        super().__init__(field, message)  # both, so that the error survives pickling between processes
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return self.message
