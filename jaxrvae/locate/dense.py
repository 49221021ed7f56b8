"""Dense encodings: what a model says of the window around every point of a frame."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from jaxrvae._checks import positive, whole
from jaxrvae._typing import Float, Int, Number, ndarray
from jaxrvae.data.containers import Frame, Frames, Latents, Patches
from jaxrvae.data.patches import cut_patches
from jaxrvae.locate.grid import grid_points

CHUNK = 4_000_000  # values of patches in memory at a time


@runtime_checkable
class Encoder(Protocol):
    """What patches are read by: a fitted RVAE, or anything that gives latents."""

    def encode(self, patches: Patches) -> Latents:
        """Content and pose of every patch."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Dense:
    """Maps over the points of a grid.

    Attributes:
        x, y: Pixels of the frame, of the grid's columns and rows.
        content: (row, col, d).
        angle: Radians; meant modulo 2 pi / symmetry.
        shift: (row, col, 2) pixels of the patch (dx, dy), y downwards.
        symmetry: Order of the rotational symmetry found.
    """

    x: Float[ndarray, " col"]
    y: Float[ndarray, " row"]
    content: Float[ndarray, "row col latent"]
    angle: Float[ndarray, "row col"]
    shift: Float[ndarray, "row col 2"]
    symmetry: Int[ndarray, "row col"]

    def to_dataframe(self, frame: int = 0) -> pd.DataFrame:
        """A row a point: frame, x, y, content_0 ..., angle, symmetry, shift_x, ..."""
        y, x = (part.ravel() for part in np.meshgrid(self.y, self.x, indexing="ij"))
        table = pd.DataFrame({"frame": frame, "x": x, "y": y})
        for i in range(self.content.shape[-1]):
            table[f"content_{i}"] = self.content[..., i].ravel()
        table["angle"] = self.angle.ravel()
        table["symmetry"] = self.symmetry.ravel()
        for i, axis in enumerate("xy"):
            table[f"shift_{axis}"] = self.shift[..., i].ravel()
        return table


def encode_dense(
    model: Encoder,
    frame: Frame,
    size: int,
    step: Number = 1,
    *,
    channels: Sequence[str] = ("intensity",),
    normalize: Literal["frame", "patch"] | None = "frame",
) -> Dense:
    """Maps of content, angle and shift, from a window around every point of a grid.

    Patches are cut and encoded a few rows at a time: what is in memory beside the maps
    does not grow with the frame.

    Args:
        model: Fitted to windows of this size.
        frame: (row, col[, channel]).
        size: Pixels along a window's side.
        step: Pixels between points. Those whose window reaches beyond the frame are
            left out: the maps begin half a window from its edge.
        channels: Names of the frame's channels.
        normalize: As the patches that the model was fitted to were.

    Raises:
        DataError: The window does not fit in the frame.
    """
    whole("size", size, 2)
    positive("step", step, "It is in pixels.")
    movie = Frames((frame,), tuple(channels))
    points = grid_points(movie, step, margin=(size - 1) / 2)
    x, y = (np.unique(points[axis].to_numpy(float)) for axis in "xy")
    together = max(1, CHUNK // (size * size * len(movie.channels)))
    parts = []
    for start in range(0, len(points), together):
        some = points.iloc[start : start + together]
        patches = cut_patches(movie, some, size, normalize=normalize)
        assert not patches.num_dropped, "the margin keeps windows inside"
        found = model.encode(patches)
        parts.append((found.content, found.angle, found.shift, found.symmetry))
    content, angle, shift, symmetry = (
        np.concatenate(part).reshape(len(y), len(x), *part[0].shape[1:])
        for part in zip(*parts, strict=True)
    )
    return Dense(x, y, content, angle, shift, symmetry)
