"""What a run hands back, and what its figures and its page are made of."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._typing import Float, Int, ndarray
from jaxrvae.analysis.clusters import Classes
from jaxrvae.analysis.pathways import Pathways
from jaxrvae.analysis.symmetry import symmetry_orders
from jaxrvae.data.containers import Frames, Latents, Patches
from jaxrvae.estimator import RVAE

MANIFOLD = (9, 9)  # rows, columns
NOUNS = {
    ("stem", "walls"): "atoms",
    ("stem", "grid"): "atoms",
    ("pfm", "walls"): "points along domain walls",
    ("pfm", "grid"): "points of a grid",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """Images, atoms, patches, latents, classes and the model of one run.

    Attributes:
        positions: All that were found: atoms, as `find_atoms` gives them, with a column
            brightness (intensity relative to the median atom of the frame); or points
            along domain walls, as `find_walls` gives them; or of a grid.
        latents: Of the patches, with their class probabilities.
        settings: The run's configuration, nested plain values.
        versions: Of the program and of what it is built on.
        timings: Seconds by step.
        hops: Of tracked atoms, as `measure_hops` gives them; else None.
        domains: Of PFM frames, as `measure_domains` gives them; else None.
        pathways: As `find_pathways` gives them, where they were asked for.
        out: The directory that holds it, or None.
    """

    frames: Frames
    positions: pd.DataFrame
    patches: Patches
    latents: Latents
    classes: Classes
    model: RVAE
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    timings: Mapping[str, float]
    domains: pd.DataFrame | None = None
    hops: pd.DataFrame | None = None
    pathways: Pathways | None = None
    out: Path | None = None

    @property
    def noun(self) -> str:
        """What the positions are, in the plural."""
        windows = self.settings.get("walls", {}).get("windows", "walls")
        return NOUNS[self.settings.get("kind", "stem"), windows]

    @functools.cached_property
    def manifold(self) -> Float[ndarray, "rows columns height width *channel"]:
        """The model's images on a grid of the first two contents."""
        rows, columns = MANIFOLD
        two = self.model.config.content_dim > 1
        return self.model.manifold((rows if two else 1, columns))

    @functools.cached_property
    def class_images(self) -> Float[ndarray, "cls height width *channel"]:
        """The model's image of every class's typical content, at angle 0."""
        columns = [f"content_{i}" for i in range(self.model.config.content_dim)]
        content = self.classes.table[columns].to_numpy(np.float32)
        number = len(content)
        own = self._model_class
        found = self.classes.labels
        counts = [np.bincount(own[found == i], minlength=1) for i in range(number)]
        most = [count.argmax() for count in counts]
        pose = np.zeros(number), np.zeros((number, 2)), np.ones(number)
        return self._decode(content, *pose, np.array(most))

    def rebuilt(self, rows: Int[ndarray, " n"]) -> Float[ndarray, "n ..."]:
        """The model's image of these patches, at their content and pose."""
        found = self.latents
        codes = found.content, found.angle, found.shift, found.scale, self._model_class
        return self._decode(*(code[rows] for code in codes))

    @property
    def _model_class(self) -> Int[ndarray, " n"]:
        """The class that the model itself has of every patch."""
        table = self.latents.table
        if "model_class" not in table:
            return np.zeros(len(table), int)
        return table["model_class"].to_numpy()

    def _decode(self, *codes: ndarray) -> ndarray:
        """As many at a time as the manifold has: one compiled program serves all."""
        number, size = len(codes[0]), self.manifold.shape[0] * self.manifold.shape[1]
        chosen = np.arange(-(-number // size) * size) % number
        parts = [
            self.model.decode(*(code[part] for code in codes))
            for part in np.split(chosen, len(chosen) // size)
        ]
        return np.concatenate(parts)[:number]

    @functools.cached_property
    def symmetry(self) -> list[int]:
        """The order of rotational symmetry of every class's image.

        Angles are meant modulo 2 pi / order. It is read from the class as a whole; the
        model's own order of every patch also counts differences that only the average
        of many patches makes certain.
        """
        return symmetry_orders(self.class_images)

    def class_table(self) -> pd.DataFrame:
        """A row a class: as `Classes.table`, with frames, brightness and symmetry.

        `frames` counts the frames in which the class occurs; `brightness`, of atoms, is
        their median intensity relative to the median atom of their frame; `symmetry`
        is the order of the class's image's rotational symmetry.
        """
        table = self.classes.table.copy()
        rows = self.latents.table
        labels = self.classes.labels
        numbers = rows["frame"].to_numpy()
        own = [labels == index for index in range(len(table))]
        table.insert(3, "frames", [len(np.unique(numbers[mine])) for mine in own])
        table.pop("symmetry")
        table.insert(4, "symmetry", self.symmetry)
        if "brightness" in rows:
            relative = rows["brightness"].to_numpy()
            middle = [
                np.median(relative[mine]) if mine.any() else np.nan for mine in own
            ]
            table.insert(4, "brightness", middle)
        return table
