"""Summaries of a sweep with a column a metric, and settings in words."""

import textwrap
from collections.abc import Sequence

import pandas as pd

from jaxrvae._checks import one_of
from jaxrvae.sweep.factors import short_names, show


def wide(
    summary: pd.DataFrame, metrics: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The settings of a summary, and their means with a column a metric."""
    known = list(summary["metric"].drop_duplicates())
    for metric in metrics:
        one_of("metric", metric, known, "Summarize it first.")
    factors = list(summary.columns[: summary.columns.get_loc("metric")])
    own = {
        metric: summary.loc[summary["metric"] == metric, "mean"].to_numpy()
        for metric in metrics
    }
    settings = summary.loc[summary["metric"] == known[0], factors]
    return settings.reset_index(drop=True), pd.DataFrame(own)


def setting_words(settings: pd.DataFrame, row: int, figures: int = 6) -> str:
    """A setting in words, 'decoder = spatial, beta = 2'; numbers to so many figures."""
    short = short_names([str(name) for name in settings])
    return ", ".join(
        f"{name} = {show(settings.at[row, full], figures)}"
        for full, name in short.items()
    )


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most so many letters, where its words allow."""
    whole = text.replace(" = ", "\u00a0=\u00a0")  # not parted
    return "\n".join(textwrap.wrap(whole, width)).replace("\u00a0", " ") or text
