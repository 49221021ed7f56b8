"""Numbers and tables as text: Markdown, and LaTeX for a paper."""

import re
from collections.abc import Sequence

import numpy as np

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "–": "--",
    "≤": r"$\le$", "≥": r"$\ge$", "→": r"$\to$", "−": r"$-$",
}  # fmt: skip

Rows = Sequence[Sequence[str]]


def plus_minus(mean: float, half: float, sign: bool = False) -> str:
    """A mean and half its interval, to two figures of the latter.

    >>> plus_minus(0.95312, 0.0123), plus_minus(0.95312, float("nan"))
    ('0.953 ± 0.012', '0.9531')
    """
    if not np.isfinite(mean):
        return "–"
    plus = "+" if sign else ""
    if not (np.isfinite(half) and half > 0):
        words = f"{mean:{plus}.4g}"
        return words if np.isnan(half) else f"{words} ± 0"
    digits = decimals(half)
    if digits > 6:
        return f"{mean:{plus}.4g} ± {half:.2g}"
    return f"{mean:{plus}.{digits}f} ± {half:.{digits}f}"


def decimals(half: float) -> int:
    """Decimals of a number whose uncertainty is so large."""
    return int(max(1 - np.floor(np.log10(half)), 0))


def p_words(p: float) -> str:
    """A p value; what was not tested is a dash.

    >>> p_words(0.03124), p_words(2e-5), p_words(float("nan"))
    ('0.031', '< 0.001', '–')
    """
    if np.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def markdown_table(columns: Sequence[str], rows: Rows, words: int = 1) -> str:
    """A table; the first `words` columns are set left, the others right."""
    marks = ["---"] * words + ["---:"] * (len(columns) - words)
    lines = [columns, marks, *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
        for row in lines
    )


def latex_table(
    columns: Sequence[str], rows: Rows, words: int = 1, note: str = ""
) -> str:
    """The same for LaTeX's booktabs: a `tabular`, to stand in a `table`."""
    layout = "l" * words + "r" * (len(columns) - words)
    body = [" & ".join(map(escaped, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            *(f"% {line}" for line in note.splitlines()),
            f"\\begin{{tabular}}{{{layout}}}",
            r"\toprule",
            " & ".join(map(escaped, columns)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def escaped(text: str) -> str:
    r"""Text that LaTeX prints as it is; minus signs before numbers are long.

    >>> escaped("k_means & -0.2 ± 0.1")
    'k\\_means \\& $-$0.2 $\\pm$ 0.1'
    """
    text = re.sub(r"(?<![\w.)\]-])-(?=\.?\d)", "−", str(text))
    return "".join(TEX.get(letter, letter) for letter in text)


def few(words: Sequence[str], most: int, between: str = ", ") -> str:
    """Words with commas or the like between, the rest counted.

    >>> few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(words) - most
    return between.join(words[:most]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "seed"), counted(10_000, "point")
    ('1 seed', '10,000 points')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(42), duration(5400), duration(1_440_000)
    ('42 seconds', '1.5 hours', '400 hours')
    """
    units = {"hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((own for own in units if seconds >= 1.2 * units[own]), "seconds")
    amount = seconds / units[unit]
    digits = 0 if unit == "seconds" or amount >= 100 else 1
    words = f"{amount:,.{digits}f}"
    return f"{words.removesuffix('.0')} {unit}"
