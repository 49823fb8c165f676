"""The error of every source: what is wrong with the data block, and where."""

from bench.engine.errors import FieldError


class DataError(FieldError):
    """A source that cannot be used; `field` is the field of the data block at fault, such as "length"."""
