"""Standard output and error that can print any text, whatever the encoding of the terminal."""

import codecs
import sys
import unicodedata

HANDLER = "bench-replace"
REPLACEMENTS = {  # by ASCII, for signs without a decomposition
    "±": "+-",
    "×": "x",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "†": "+",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "␣": "_",
    "·": ".",
}


def make_printable() -> None:
    """Let both streams replace what their encoding lacks, instead of raising an error in the middle of a table."""
    codecs.register_error(HANDLER, replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a test or a notebook may have replaced it
            stream.reconfigure(errors=HANDLER)


def replace(error: UnicodeError) -> tuple[str, int]:
    """Handle characters that an encoding lacks: by similar ones, or by "?"; bytes of file names become escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_similar(character, error.encoding) for character in characters), error.end


def _similar(character: str, encoding: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte that is not UTF-8, as Python holds it in arguments and paths
        return f"\\x{ord(character) - 0xDC00:02x}"
    similar = REPLACEMENTS.get(character) or unicodedata.normalize("NFKD", character)
    try:
        similar.encode(encoding)
    except UnicodeEncodeError:
        width = 2 if unicodedata.east_asian_width(character) in "WF" else 1  # in cells, so that columns stay in line
        return similar.encode("ascii", errors="ignore").decode("ascii") or "?" * width
    return similar
