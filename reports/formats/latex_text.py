"""Text in LaTeX: whatever a label, a reason or a question holds, pdfLaTeX takes it and shows it."""

import re
import unicodedata

MATH = {"†": r"\dagger", "‡": r"\ddagger", "±": r"\pm", "×": r"\times", "«": r"\ll", "»": r"\gg"}
MATH |= {"↓": r"\downarrow", "↑": r"\uparrow", "≈": r"\approx", "→": r"\to", "←": r"\gets", "≠": r"\neq"}
MATH |= {"≤": r"\le", "≥": r"\ge", "−": "-", "∞": r"\infty", "∈": r"\in", "∼": r"\sim", "√": r"\surd"}
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"}
LATEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "|": r"\textbar{}"}
LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "—": "---", "–": "--", "…": r"\dots{}"}
QUOTES = "‘’“”"
LAST = "\u017f"  # of the letters that pdfLaTeX has without a further package, but for those that are lacking
LACKING = "ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ"
GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi"
GREEK += " omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
PARTS = {"<sub>": "_", "<super>": "^"}


def write_greek(letter: str) -> str:
    """The command of a Greek letter; "" for others, and for one that looks like a Latin letter and has none."""
    name = unicodedata.name(letter, "").replace("LAMDA", "LAMBDA").lower()
    case, _, word = name.removeprefix("greek ").partition(" letter ")
    word = word.capitalize() if case == "capital" else word
    return f"\\{word}" if name.startswith("greek ") and word in GREEK.split() else ""


def write_letter(letter: str) -> str:
    """One character in LaTeX; the number of one that pdfLaTeX lacks, such as U+65E5."""
    kind = unicodedata.decomposition(letter).partition(" ")[0]
    if kind in PARTS:
        inner = escape_latex(unicodedata.normalize("NFKC", letter)).replace("$", "")  # it is in math already
        return f"${PARTS[kind]}{{{inner}}}$"
    if command := MATH.get(letter) or write_greek(letter):
        return f"${command}$"
    is_known = letter in LATEX or letter in QUOTES or (letter <= LAST and letter.isprintable())
    return LATEX.get(letter, letter) if is_known and letter not in LACKING else f"U+{ord(letter):04X}"


def escape_latex(text: str) -> str:
    """The text on one line with LaTeX's special characters escaped and signs in math."""
    return "".join(map(write_letter, " ".join(text.split()).replace("<=", "≤")))


def write_latex_number(text: str) -> str:
    """As `escape_latex`, with a minus that is as long as one, and a dash between two numbers."""
    text = re.sub(r"(?<![\w-])-(?=[\d.])", "−", text)
    return escape_latex(re.sub(r"(?<=\d)-(?=\d)", "–", text))


def begin_row(label: str) -> str:
    """A label as the first cell of a row, where "[" or "*" would be read as a part of what ends the row above."""
    return "{}" * label.startswith(("[", "*")) + escape_latex(label)
