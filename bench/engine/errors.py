"""What is wrong with a block of a suite, and with which of its fields."""


class FieldError(ValueError):
    """Something that cannot be had as a block asks for it; `field` is the field at fault, such as "path"."""

    def __init__(self, field: str, message: str):
        super().__init__(field, message)  # both, so that the error survives pickling between processes
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return self.message


class DataError(FieldError):
    """A source that cannot be used; `field` is the field of the data block at fault, such as "length"."""


class ScorerError(FieldError):
    """A scorer that cannot be had; `field` is the field of its block at fault, such as "model"."""
