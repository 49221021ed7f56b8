"""Atoms of frame after frame to a movie in counts, and what is noted of it."""

from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._typing import Float
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.simulate.microscope import (
    Microscope,
    blur,
    expected_counts,
    in_field,
    record,
)


class Recording:
    """A movie that grows by a frame at a time.

    Args:
        microscope: Probe, scan and dose.
        drift: (frame, 2) pixels since the first frame.
        metadata: Of the movie and of every frame; `simulated` names them.
        rng: Draws jitter and counts.
    """

    def __init__(
        self,
        microscope: Microscope,
        drift: Float[np.ndarray, "frame 2"],
        metadata: dict[str, Any],
        rng: np.random.Generator,
    ):
        self._microscope, self._drift = microscope, drift
        self._metadata, self._rng = metadata, rng
        self._kernel = blur(microscope)
        self._background: float | None = None
        self._frames: list[Frame] = []
        self._tables: list[pd.DataFrame] = []
        self._jitter: list[np.ndarray] = []
        self._totals: list[float] = []

    def add(self, atoms: pd.DataFrame, brightness: Float[np.ndarray, " atom"]) -> None:
        """One frame more.

        Args:
            atoms: Columns x and y, pixels of this frame; all go into the truth.
            brightness: Relative to one carbon atom.
        """
        microscope, number = self._microscope, len(self._frames)
        places = atoms[["x", "y"]].to_numpy()
        mean = expected_counts(places, brightness, microscope, self._kernel)
        if self._background is None:
            self._background = microscope.background * float(mean.mean())
        counts, off = record(mean, self._background, microscope, self._rng)
        name = f"{self._metadata['simulated']} {number}"
        frame = Frame(counts, microscope.pixel_size, name, number, self._metadata)
        self._frames.append(frame)
        seen = atoms.loc[in_field(places, microscope.size)]
        self._tables.append(seen.assign(frame=number))
        self._jitter.append(off)
        self._totals.append(float(mean.mean()) + self._background)

    def atoms(self) -> pd.DataFrame:
        """A row for every atom in the field of every frame; frame comes first."""
        atoms = pd.concat(self._tables, ignore_index=True)
        atoms.insert(0, "frame", atoms.pop("frame"))
        return atoms

    def movie(self, seed: int, truth: dict[str, Any]) -> Frames:
        """The frames with this truth, and drift, jitter and counts beside it."""
        drift = pd.DataFrame(self._drift, columns=["x", "y"])
        noted = {
            "drift": drift.rename_axis("frame").reset_index(),
            "jitter": np.stack(self._jitter),
            "counts_per_pixel": float(np.mean(self._totals)),
            "background": self._background,
        }
        metadata = {**self._metadata, "seed": seed}
        return Frames(tuple(self._frames), metadata=metadata, truth=truth | noted)
