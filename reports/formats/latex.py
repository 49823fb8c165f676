"""Tables in LaTeX. pdfLaTeX accepts and shows any character of a label, a reason or a question."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby

from reports.formats.text import wrap_headers
from reports.tables.table_model import Entry, Row, Table

MATH = {
    "†": r"\dagger",
    "‡": r"\ddagger",
    "±": r"\pm",
    "×": r"\times",
    "«": r"\ll",
    "»": r"\gg",
    "↓": r"\downarrow",
    "↑": r"\uparrow",
    "≈": r"\approx",
    "→": r"\to",
    "←": r"\gets",
    "≠": r"\neq",
    "≤": r"\le",
    "≥": r"\ge",
    "−": "-",
    "∞": r"\infty",
    "∈": r"\in",
    "∼": r"\sim",
    "√": r"\surd",
}
TEXT = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "—": "---",
    "–": "--",
    "…": r"\dots{}",
}
QUOTES = "‘’“”"
LAST = "\u017f"  # the last character that pdfLaTeX knows without another package, except for those below
UNKNOWN = "ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ"
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi"
    " omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
SCRIPTS = {"<sub>": "_", "<super>": "^"}


def greek_command(character: str) -> str:
    """The command of a Greek letter; "" for others, and for capitals that look Latin and so have no command."""
    name = unicodedata.name(character, "").replace("LAMDA", "LAMBDA").lower()
    case, _, word = name.removeprefix("greek ").partition(" letter ")
    word = word.capitalize() if case == "capital" else word
    return f"\\{word}" if name.startswith("greek ") and word in GREEK.split() else ""


def escape_character(character: str) -> str:
    """One character in LaTeX; its code point, such as U+65E5, if pdfLaTeX does not know it."""
    kind = unicodedata.decomposition(character).partition(" ")[0]
    if kind in SCRIPTS:
        inner = escape_latex(unicodedata.normalize("NFKC", character)).replace("$", "")  # it is in math already
        return f"${SCRIPTS[kind]}{{{inner}}}$"
    if command := MATH.get(character) or greek_command(character):
        return f"${command}$"
    if character in TEXT:
        return TEXT[character]
    is_printable = character in QUOTES or (character <= LAST and character.isprintable())
    return character if is_printable and character not in UNKNOWN else f"U+{ord(character):04X}"


def escape_latex(text: str) -> str:
    """The text on one line, with LaTeX's special characters escaped and symbols in math."""
    return "".join(map(escape_character, " ".join(text.split()).replace("<=", "≤")))


def format_number(text: str) -> str:
    """As `escape_latex`, with minus signs in math and a dash between two numbers."""
    text = re.sub(r"(?<![\w-])-(?=[\d.])", "−", text)
    return escape_latex(re.sub(r"(?<=\d)-(?=\d)", "–", text))


def begin_row(label: str) -> str:
    r"""A label as the first cell of a row; a leading "[" or "*" would be read as an argument of the `\\` above."""
    guard = "{}" if label.startswith(("[", "*")) else ""
    return guard + escape_latex(label)


def format_mark(mark: str, raised: bool = False) -> str:
    """A sign in math, or raised letters; "" if there is no mark."""
    if not mark:
        return ""
    for sign, command in ({"<=": r"\le", "~": r"\sim"} | MATH).items():
        mark = mark.replace(sign, command + " ")
    return f"$^{{{mark}}}$" if raised else f"${mark}$"


def format_entry(entry: Entry, widest: Entry) -> str:
    """One number, bold if it is the best; its error and marks take the width of the widest of the column."""
    value = format_number(entry.value)
    value = rf"\textbf{{{value}}}" if entry.best else value
    text = f"{format_mark(entry.sign)}~{value}" if entry.sign else value
    if not entry.estimate:
        return text
    errors = [rf" $\pm$ {error}" if error else "" for error in (entry.error, widest.error)]
    marks = [format_mark(letters, raised=True) for letters in (entry.marks, widest.marks)]
    return text + pad(*errors) + pad(*marks)


def pad(text: str, widest: str) -> str:
    """The text in the width of the widest one."""
    if text == widest:
        return text
    overlay = rf"\rlap{{{text}}}" if text else ""
    return rf"{overlay}\phantom{{{widest}}}"


def format_row(row: Row, widest: Sequence[Entry]) -> list[str]:
    """One line of the tabular, and another below it with the reasons if the arm is not done."""
    entries = [format_entry(*pair) for pair in zip(row.entries, widest, strict=True)]
    line = " & ".join([begin_row(row.label), *entries]) + r" \\"
    if not row.reason:
        return [line]
    span = rf"\multicolumn{{{len(entries) + 1}}}{{p{{0.9\linewidth}}}}"
    return [line, rf"{span}{{\quad {escape_latex(row.reason)}}} \\"]


def format_header(table: Table) -> list[str]:
    """The lines of the header: equal neighbouring titles merged over a rule, and units below."""
    titles, rules, start = ["Method"], "", 2
    for title, group in groupby(column.title for column in table.columns):
        span = len(list(group))
        titles.append(rf"\multicolumn{{{span}}}{{{'c' if span > 1 else 'r'}}}{{{escape_latex(title)}}}")
        if span > 1:
            rules += rf" \cmidrule(lr){{{start}-{start + span - 1}}}"
        start += span
    units = list(zip(*wrap_headers(table)[: len(table.columns) + 1], strict=True))[1:]
    lines = [" & ".join(escape_latex(unit) for unit in line) + r" \\" for line in units]
    return [" & ".join(titles) + r" \\" + rules, *lines]


def find_widest(table: Table) -> list[Entry]:
    """The longest error and the longest marks of each column."""
    columns = zip(*(row.entries for row in table.rows + table.references), strict=True)
    return [
        Entry(
            error=max((entry.error for entry in entries), key=len),
            marks=max((entry.marks for entry in entries), key=len),
        )
        for entries in columns
    ]


def format_latex(table: Table) -> str:
    """The table as a float in booktabs style with its footnotes below; needs booktabs and graphicx."""
    widest, body = find_widest(table), format_header(table)
    for rows in (table.rows, table.references):
        if rows:
            body.append(r"\midrule")
            body += [line for row in rows for line in format_row(row, widest)]
    notes = [f"{format_mark(mark, raised=mark.isalpha())} {escape_latex(note)}" for mark, note in table.footnotes]
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
        rf"\caption{{{escape_latex(f'{table.warning} {table.caption}')}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",  # no wider than the page
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(table.columns)}@{{}}}}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\medskip\raggedright",
        *(note.strip() + r"\par" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
