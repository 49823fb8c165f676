"""The registry of data sources: a new one, such as Parquet from the Hub, is a class in sources/ and its name here."""

from typing import Annotated, Any, Union, get_args

from pydantic import Field, create_model

from bench.engine.data.source import Source
from bench.engine.data.sources.markov import Markov
from bench.engine.data.sources.text import Pydoc, Text8, Text8Part, TextFile

DataSpec = Annotated[Pydoc | TextFile | Text8 | Text8Part | Markov, Field(discriminator="source")]

SOURCES: dict[str, type[Source]] = {
    kind.model_fields["source"].default: kind for kind in get_args(get_args(DataSpec)[0])
}

LABEL = "^[A-Za-z0-9][A-Za-z0-9_.+-]*$"  # of a data set in a suite on several; part of file names


def _labelled(name: str, kind: type[Source]) -> type[Source]:
    return create_model(f"Labelled{kind.__name__}", __base__=kind, label=(str, Field(name, pattern=LABEL)))


LABELLED: dict[str, type[Source]] = {name: _labelled(name, kind) for name, kind in SOURCES.items()}  # items of lists
LabelledSpec: Any = Annotated[Union[tuple(LABELLED.values())], Field(discriminator="source")]  # noqa: UP007
