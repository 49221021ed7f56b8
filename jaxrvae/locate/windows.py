"""From frames to positions to patches, with what is "auto" settled by the images."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError
from jaxrvae._typing import Number
from jaxrvae.data.containers import Frame, Frames, Patches
from jaxrvae.data.patches import cut_patches, cut_to
from jaxrvae.locate.choose import nearest_distances
from jaxrvae.locate.polarity import CHANNELS

WINDOW = 1.0  # nm, around atoms
WINDOW_SPACINGS = 7.0  # the same in distances of neighbours, where nm are not known
WINDOW_PIXELS = 24.0  # around domain walls
MOST_PIXELS = 48
Kind = Literal["stem", "pfm"]


def kind_of(movie: Frames) -> Kind:
    """What frames with these channels show: an amplitude and a phase are PFM."""
    names = [name.lower() for name in movie.channels]
    pair = all(any(word in name for name in names) for word in ("amp", "phase"))
    return "pfm" if pair or CHANNELS[0] in movie.channels else "stem"


def cut_windows(
    movie: Frames,
    positions: pd.DataFrame,
    kind: Kind = "stem",
    *,
    size: int | str = "auto",
    window: Number | str | None = "auto",
    normalize: Literal["frame", "patch"] | None = "frame",
    to: str | Path | None = None,
) -> Patches:
    """Patches around positions; windows and sizes that are "auto" are settled here.

    Around atoms, where a pixel size is not known, the window is that many typical
    distances of neighbouring atoms, so that images of different magnification still
    mix. Around walls it is 24 pixels of the coarsest frame. `to` is that of
    `cut_patches`.
    """
    known = all(frame.pixel_size is not None for frame in movie)
    if window == "auto" and kind == "pfm":
        coarsest = max(frame.pixel_size or 0.0 for frame in movie)
        pixels = WINDOW_PIXELS if size == "auto" else float(size)
        window = pixels * coarsest if known else None
        size = int(pixels)
    if window is None:
        assert not isinstance(size, str), "PatchConfig asks for the size"
        return cut_patches(movie, positions, size, normalize=normalize, to=to)
    if window == "auto":
        window = WINDOW if known else WINDOW_SPACINGS
    elif not known:
        where = next(f.name or f"frame {f.number}" for f in movie if not f.pixel_size)
        raise DataError(
            f"{where}: window={window:g} nm needs the pixel size, which is not known."
            " Give it (--pixel-size), or leave the window out."
        )
    assert not isinstance(window, str)
    scaled = movie if known else in_spacings(movie, positions)
    if size == "auto":
        finest = min(float(frame.pixel_size or 1) for frame in scaled)
        size = int(np.clip(window / finest // 2 * 2, 16, MOST_PIXELS))
    assert not isinstance(size, str)
    unit = "nm" if known else "spacings of neighbouring atoms"
    return cut_to(scaled, positions, size, window, normalize, to, unit)


def with_brightness(atoms: pd.DataFrame) -> pd.DataFrame:
    """The atoms with a column more: intensity relative to their frame's median atom."""
    typical = atoms.groupby("frame")["intensity"].transform("median")
    return atoms.assign(brightness=atoms["intensity"] / typical)


def typical_spacing(atoms: pd.DataFrame) -> float:
    """Median distance of neighbouring atoms over all frames, pixels."""
    groups = atoms.groupby("frame")[["x", "y"]]
    nearest = [nearest_distances(xy.to_numpy()) for _, xy in groups]
    return float(np.median(np.concatenate(nearest)))


def in_spacings(movie: Frames, atoms: pd.DataFrame) -> Frames:
    """The movie with each frame's pixel size in distances of neighbouring atoms."""

    def scaled(frame: Frame) -> Frame:
        places = atoms.loc[atoms["frame"] == frame.number, ["x", "y"]].to_numpy()
        if len(places) < 2:
            raise DataError(
                f"{frame.name}: expected at least 2 atoms to take the scale from; got"
                f" {len(places)}. Give the pixel size (--pixel-size)."
            )
        spacing = float(np.median(nearest_distances(places)))
        return dataclasses.replace(frame, pixel_size=1 / spacing)

    return dataclasses.replace(movie, frames=tuple(scaled(frame) for frame in movie))


def middles(movie: Frames) -> tuple[Frames, pd.DataFrame]:
    """One frame of every shape and pixel size, and the middle of each as a position."""
    kinds = {(frame.shape, frame.pixel_size): frame for frame in movie}
    frames = dataclasses.replace(movie, frames=tuple(kinds.values()))
    centres = [
        (frame.number, (frame.shape[1] - 1) / 2, (frame.shape[0] - 1) / 2)
        for frame in frames
    ]
    return frames, pd.DataFrame(centres, columns=["frame", "x", "y"])
