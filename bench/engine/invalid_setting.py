"""Errors in a suite's settings that name the field at fault."""


class FieldError(ValueError):
    """A setting that cannot be used; `field` names the field at fault, such as "path"."""

    def __init__(self, field: str, message: str):
        super().__init__(field, message)  # both, so that the error survives pickling between processes
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return self.message


class DataError(FieldError):
    """A data source that cannot be used; `field` is a field of the data settings, such as "length"."""


class ScorerError(FieldError):
    """A scorer that cannot be loaded; `field` is a field of its settings, such as "model"."""
