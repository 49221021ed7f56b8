"""What moved, in words: hops of tracked atoms."""

from typing import Any

import numpy as np
import pandas as pd

from jaxrvae.report.result import Result
from jaxrvae.viz.style import class_color

MOST_TRACKS = 8  # listed hop by hop
LEAST_HOPS = 2  # of a track that is listed


def hop_rows(result: Result) -> dict[str, list[dict[str, str]]]:
    """Rows of the two tables of hops: by class, and of the tracks with most.

    Empty where atoms were not tracked.
    """
    if result.hops is None:
        return {}
    own = _class_of_tracks(result)
    tracks = result.positions["track"].to_numpy()
    frames = pd.Series(tracks).value_counts()
    classes = []
    for index in np.unique(own[own >= 0]):
        members = own.index[own == index]
        steps = int((frames[members] - 1).sum())
        mine = result.hops.loc[result.hops["track"].isin(members)]
        classes.append(_class_row(int(index), len(members), steps, mine))
    return {"classes": classes, "tracks": _tracks(result.hops, own, frames)}


def _class_of_tracks(result: Result) -> pd.Series:
    """By track: the class that its patches have most often; -1 without a patch."""
    table = result.latents.table
    seen = pd.DataFrame({"track": table["track"], "class": result.classes.labels})
    counts = pd.crosstab(seen["track"], seen["class"])
    most = pd.Series(counts.columns[counts.to_numpy().argmax(axis=1)], counts.index)
    return most.reindex(np.unique(result.positions["track"]), fill_value=-1)


def _class_row(index: int, tracks: int, steps: int, hops: pd.DataFrame) -> Any:
    bonds, off_site = hops["bonds"].to_numpy(), hops["off_site"].dropna().to_numpy()
    return {
        "class": f"class {index}",
        "color": class_color(index),
        "tracks": f"{tracks:,}",
        "steps": f"{steps:,}",
        "hops": f"{len(hops):,}",
        "rate": f"{len(hops) / steps:.3f}" if steps else "",
        "one": str(int((bonds == 1).sum())),
        "two": str(int((bonds == 2).sum())),
        "farther": str(int(((bonds > 2) | (bonds == 0)).sum())),
        "off_site": f"{np.sqrt(np.mean(off_site**2)):.2f}" if len(off_site) else "",
    }


def _tracks(hops: pd.DataFrame, own: pd.Series, frames: pd.Series) -> Any:
    most = hops["track"].value_counts().head(MOST_TRACKS)
    rows = []
    for track in (int(name) for name in most.index[most.to_numpy() >= LEAST_HOPS]):
        mine = hops.loc[hops["track"] == track]
        kind = int(own.at[track])
        lengths = zip(mine["frame"], mine["length"], strict=True)
        rows.append(
            {
                "track": str(track),
                "color": class_color(kind) if kind >= 0 else "white",
                "frames": str(frames[track]),
                "hops": str(len(mine)),
                "lengths": ", ".join(f"{at}: {length:.2f}" for at, length in lengths),
            }
        )
    return rows
