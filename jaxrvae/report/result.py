"""What a run hands back, and what its figures and its page are made of."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae.analysis.clusters import Classes
from jaxrvae.data.containers import Frames, Latents, Patches
from jaxrvae.estimator import RVAE


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """Images, atoms, patches, latents, classes and the model of one run.

    Attributes:
        atoms: All that were found, as `find_atoms` gives them.
        latents: Of the patches, with their class probabilities.
        settings: The run's configuration, nested plain values.
        versions: Of the program and of what it is built on.
        timings: Seconds by step.
        out: The directory that holds it, or None.
    """

    frames: Frames
    atoms: pd.DataFrame
    patches: Patches
    latents: Latents
    classes: Classes
    model: RVAE
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    timings: Mapping[str, float]
    out: Path | None = None

    def class_table(self) -> pd.DataFrame:
        """A row a class: class, count, share, frames, brightness, probability, ...

        `frames` counts the frames in which the class occurs; `brightness` is the median
        intensity of its atoms, relative to the median atom of their frame.
        """
        table = self.classes.table.copy()
        rows = self.latents.table
        labels = self.classes.labels
        numbers = rows["frame"].to_numpy()
        typical = dict(self.atoms.groupby("frame")["intensity"].median().items())
        relative = rows["intensity"].to_numpy() / [typical[n] for n in numbers]
        frames, brightness = [], []
        for index in range(len(table)):
            mine = labels == index
            frames.append(len(np.unique(numbers[mine])))
            brightness.append(
                float(np.median(relative[mine])) if mine.any() else np.nan
            )
        table.insert(3, "frames", frames)
        table.insert(4, "brightness", brightness)
        return table
