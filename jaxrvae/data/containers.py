"""Frames, Patches and Latents: the nouns that flow through the program.

All three are immutable; arrays inside are NumPy and are never rescaled silently:
what was subtracted or divided stands in `metadata` or in the table.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One image of a movie.

    Attributes:
        pixel_size: nm per pixel, or None where it is not known.
        name: Where it came from, as named in errors and tables.
        number: Its number in the movie (that in the file's name, where it has one).
        metadata: What the instrument's file said, and what was done since.
    """

    source: np.ndarray | Callable[[], np.ndarray]
    pixel_size: float | None = None
    name: str = ""
    number: int = 0
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def values(self) -> np.ndarray:
        """(row, col[, channel]) intensities; read from disk here if lazy."""
        return self.source() if callable(self.source) else self.source

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns[, channels])."""
        return self.values.shape


@dataclasses.dataclass(frozen=True, eq=False)
class Frames(Sequence[Frame]):
    """A movie: images in order, whose shapes and pixel sizes may differ.

    Attributes:
        channels: Names of the channels, at least one.
        truth: For simulated movies, tables and numbers that a recovery test needs.
    """

    frames: tuple[Frame, ...]
    channels: tuple[str, ...] = ("intensity",)
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    truth: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.frames:
            raise DataError("Frames need at least one image; got none.")

    def __len__(self) -> int:
        return len(self.frames)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> "Frames": ...
    def __getitem__(self, index: int | slice) -> "Frame | Frames":
        if isinstance(index, slice):
            return dataclasses.replace(self, frames=self.frames[index])
        return self.frames[index]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    @property
    def values(self) -> np.ndarray:
        """(frame, row, col[, channel]), where all shapes agree."""
        images = [frame.values for frame in self.frames]
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            raise DataError(
                f"images have {len(shapes)} different shapes ({sorted(shapes)[:3]}"
                " ...); take them one by one: movie[i].values."
            )
        return np.stack(images)

    @property
    def pixel_size(self) -> float | None:
        """Side of a pixel in nm, where all frames agree; None where not known."""
        sizes = {frame.pixel_size for frame in self.frames}
        if len(sizes) > 1:
            raise DataError(
                f"frames have {len(sizes)} different pixel sizes; "
                "take them one by one: movie[i].pixel_size."
            )
        return sizes.pop()

    @property
    def numbers(self) -> np.ndarray:
        """(frame,) frame numbers, in order."""
        return np.array([frame.number for frame in self.frames])

    def index_by_number(self) -> dict[int, int]:
        """Where each frame number stands in the movie; numbers must not repeat."""
        index = {frame.number: i for i, frame in enumerate(self.frames)}
        if len(index) < len(self):
            raise DataError(
                f"expected a number of its own for each of {len(self)} frames; got"
                f" {len(index)} different ones. Set Frame.number when you join movies."
            )
        return index


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """Images cut around positions, and where each came from.

    Attributes:
        values: (n, row, col[, channel]) float32; of patches on disk (`load`, or
            `cut_patches` with `to`) a memory map that cannot be written to, whose
            pixels are read as they are looked at.
        table: A row a patch: frame, x, y (pixels of the frame), track, ...
        pixel_size: nm per patch pixel, or None.
        num_dropped: Positions left out for want of full support in the image.
        truth: For simulated patches, a row a patch.
    """

    values: np.ndarray
    table: pd.DataFrame
    pixel_size: float | None = None
    channels: tuple[str, ...] = ("intensity",)
    num_dropped: int = 0
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    truth: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> "Patches":
        """Those patches that the slice, mask or index array names."""
        index = np.atleast_1d(np.arange(len(self))[index])
        truth = self.truth
        return dataclasses.replace(
            self,
            values=self.values[index],
            table=self.table.iloc[index].reset_index(drop=True),
            truth=None if truth is None else truth.iloc[index].reset_index(drop=True),
        )

    def save(self, path: str | Path) -> None:
        """Write them into a folder that is not there yet; `load` takes them back.

        It holds `values.npy`, `table.parquet` and `patches.json`.

        Raises:
            DataError: The path is taken, or the metadata holds more than plain values.
            RunError: It cannot be written.
        """
        from jaxrvae.data.patch_store import write_patches

        write_patches(
            path, [self.values], lambda values: dataclasses.replace(self, values=values)
        )

    @classmethod
    def load(cls, path: str | Path) -> "Patches":
        """The patches that `save`, or `cut_patches` with `to`, wrote into a folder.

        Pixels stay on disk until they are looked at: `patches[rows]` reads those.

        Raises:
            DataError: There is no such folder, it was never finished, or it is damaged.
        """
        from jaxrvae.data.patch_store import load_patches

        return load_patches(path)


@dataclasses.dataclass(frozen=True, eq=False)
class Latents:
    """What the model says of every patch.

    Attributes:
        content: (n, d) posterior means of what the structure is.
        content_std: (n, d) their standard deviations.
        angle: (n,) radians of the best mode, counter-clockwise, in [-pi, pi).
        angle_std: (n,) radians, of that mode alone.
        angle_modes: (n, m, 2) angle and probability of the m best modes, best first;
            unused places hold NaN and 0.
        shift: (n, 2) pixels (dx, dy), x to the right, y downwards.
        shift_std: (n, 2) pixels.
        scale: (n,) relative size.
        class_probabilities: (n, c).
        symmetry: (n,) order of the rotational symmetry found: angles are meant
            modulo 2 pi / symmetry.
        table: The patches' table: frame, x, y, ...
        condition, condition_std: (n, m) conditions, found where they were missing; no
            columns where the model is always given them.
        members: Of an ensemble, what each says, in the terms of this one.
        agreement: (n,) of the members, from 0 to 1; None for a model alone.
    """

    content: np.ndarray
    content_std: np.ndarray
    angle: np.ndarray
    angle_std: np.ndarray
    angle_modes: np.ndarray
    shift: np.ndarray
    shift_std: np.ndarray
    scale: np.ndarray
    class_probabilities: np.ndarray
    symmetry: np.ndarray
    table: pd.DataFrame
    condition: np.ndarray | None = None
    condition_std: np.ndarray | None = None
    members: tuple["Latents", ...] = ()
    agreement: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.content)

    def to_dataframe(self) -> pd.DataFrame:
        """One row a patch: its table, then content_0 ..., angle, shift, class, ...

        `angle_modulo` is the angle modulo 2 pi / symmetry, nearest to zero.
        """
        columns: dict[str, np.ndarray] = {}
        for i in range(self.content.shape[1]):
            columns[f"content_{i}"] = self.content[:, i]
            columns[f"content_std_{i}"] = self.content_std[:, i]
        columns["angle"], columns["angle_std"] = self.angle, self.angle_std
        columns["angle_probability"] = self.angle_modes[:, 0, 1]
        columns["symmetry"] = self.symmetry
        period = 2 * np.pi / self.symmetry
        columns["angle_modulo"] = (self.angle + period / 2) % period - period / 2
        for i, axis in enumerate("xy"):
            columns[f"shift_{axis}"] = self.shift[:, i]
            columns[f"shift_std_{axis}"] = self.shift_std[:, i]
        columns["scale"] = self.scale
        columns["class"] = self.class_probabilities.argmax(1)
        columns["class_probability"] = self.class_probabilities.max(1)
        if self.condition is not None and self.condition_std is not None:
            for i in range(self.condition.shape[1]):
                columns[f"condition_{i}"] = self.condition[:, i]
                columns[f"condition_std_{i}"] = self.condition_std[:, i]
        if self.agreement is not None:
            columns["agreement"] = self.agreement
        latents = pd.DataFrame(columns)
        table = self.table.drop(columns=latents.columns, errors="ignore")
        return pd.concat([table.reset_index(drop=True), latents], axis=1)
