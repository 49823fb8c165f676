"""Footnotes on the terminal: one line each, with what all rows share said once."""

from collections.abc import Sequence

from reports.tables.table_model import Note

PROTOCOL = "protocol: "  # how the footnotes of protocols begin
CLAUSE = "; "  # between the parts of a protocol


def fold(notes: Sequence[Note]) -> list[Note]:
    """The notes with common parts of protocols, and all notes without a mark, joined into one at the end."""
    marked = [(mark, text) for mark, text in notes if mark]
    shared = [text.rstrip(".") for mark, text in notes if not mark]
    common = _common_clauses([text for _, text in marked if text.startswith(PROTOCOL)])
    if common:
        marked = [(mark, _without(text, common)) for mark, text in marked]
        shared.insert(0, CLAUSE.join(common))
    return [*marked, *([("", f"All rows: {'. '.join(shared)}.")] if shared else [])]


def _common_clauses(protocols: Sequence[str]) -> list[str]:
    """The parts that several protocols all have, in their order."""
    if len(protocols) < 2:
        return []
    parts = [text.removeprefix(PROTOCOL).split(CLAUSE) for text in protocols]
    return [clause for clause in parts[0] if all(clause in others for others in parts)]


def _without(text: str, clauses: Sequence[str]) -> str:
    """The text of a protocol without these parts; other texts stay as they are."""
    if not text.startswith(PROTOCOL):
        return text
    remainder = [clause for clause in text.removeprefix(PROTOCOL).split(CLAUSE) if clause not in clauses]
    return CLAUSE.join(remainder) or text.removeprefix(PROTOCOL)
