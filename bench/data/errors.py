"""The error of every source: what is wrong with the data block, and where."""


class DataError(ValueError):
    """A source that cannot be used; `field` is the field of the data block at fault, such as "path" or "length"."""

    def __init__(self, field: str, message: str):
        super().__init__(field, message)  # both, so that the error survives pickling between processes
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return self.message
