"""The sources by name: a new source is one class and its name in the union below."""

from typing import Annotated, get_args

from pydantic import Field

from bench.data.markov import Markov
from bench.data.source import Source
from bench.data.text import Pydoc, Text8, Text8Part, TextFile

DataSpec = Annotated[Pydoc | TextFile | Text8 | Text8Part | Markov, Field(discriminator="source")]

SOURCES: dict[str, type[Source]] = {
    kind.model_fields["source"].default: kind for kind in get_args(get_args(DataSpec)[0])
}
