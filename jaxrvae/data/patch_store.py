"""Patches on disk: a folder whose pixels are read as they are looked at.

`values.npy` holds the pixels, uncompressed: mapped into memory it is a NumPy array, so
everything takes it as it is, and a batch drawn at random costs the pages it lies on and
no more. (256 of 50,000 patches of 48 x 48 pixels: 0.4 ms; from zarr, with chunks of 16
to 2048 patches, 63 ms and more.) Pages that were read count as the process's memory
until the system needs it for something else. `table.parquet` has a row a patch;
`patches.json`, written last, all else. A folder without it was never finished.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, RunError
from jaxrvae.data.containers import Patches
from jaxrvae.data.read.images import unreadable

VALUES, TABLE, TRUTH = "values.npy", "table.parquet", "truth.parquet"
SETTINGS = "patches.json"
FORMAT = 1  # of the folder; others are refused
NAMES = ("shape", "pixel_size", "channels", "num_dropped", "metadata", "truth")


def write_patches(
    path: str | Path,
    pieces: Iterable[np.ndarray],
    describe: Callable[[np.ndarray], Patches],
) -> Patches:
    """Patches whose values lie on disk, written piece by piece; one piece is held.

    Args:
        path: Of a folder that is not there yet. If anything fails it is taken away
            again; only a process that was killed leaves it, unfinished.
        pieces: (n, row, col[, channel]) float32 each, to be joined.
        describe: The values as they lie on disk to the patches they belong to; called
            when all pieces are written.

    Raises:
        DataError: The path is taken, or pieces differ in shape.
        RunError: It cannot be written, as on a full disk.
    """
    folder = Path(path)
    _refuse_taken(folder)
    with _writing(folder):
        folder.mkdir(parents=True)
    try:
        _write_values(folder, pieces)
        patches = describe(np.load(folder / VALUES, mmap_mode="r"))
        with _writing(folder):
            _write_rest(folder, patches)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return patches


def load_patches(path: str | Path) -> Patches:
    """The patches in a folder; pixels stay on disk until they are looked at.

    Raises:
        DataError: There is no such folder, it was never finished, or it is damaged.
    """
    folder = Path(path)
    settings = _read_settings(folder)
    try:
        values = np.load(folder / VALUES, mmap_mode="r", allow_pickle=False)
        table = pd.read_parquet(folder / TABLE)
        truth = pd.read_parquet(folder / TRUTH) if settings["truth"] else None
    except (OSError, ValueError, EOFError) as error:  # Arrow's are ValueErrors
        raise DataError(unreadable(folder, error)) from error
    expected = tuple(settings["shape"])
    same = (values.shape, values.dtype) == (expected, np.float32)
    if not same or len(table) != len(values):
        raise DataError(
            f"{folder}: expected float32 values of shape {expected} and a row for each;"
            f" got {values.dtype} of {values.shape} and {len(table)} rows. It was"
            " changed or is damaged: cut the patches again."
        )
    return Patches(
        values=values,
        table=table,
        pixel_size=settings["pixel_size"],
        channels=tuple(settings["channels"]),
        num_dropped=settings["num_dropped"],
        metadata=settings["metadata"],
        truth=truth,
    )


def _refuse_taken(folder: Path) -> None:
    if not os.path.lexists(folder):
        return
    if (folder / SETTINGS).exists():
        holds = f"it holds patches already. Read them with Patches.load({str(folder)!r}"
        holds += "), delete it, or choose another"
    elif (folder / VALUES).exists():
        holds = "it holds patches that are being written, or whose writing was"
        holds += " interrupted. Delete it in the latter case, or choose another"
    else:
        holds = "there is something else. Choose another"
    raise DataError(f"{folder}: expected a folder that is not there yet; {holds}.")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{folder}: patches could not be written ({error}). Nothing was kept; make"
            " room, or choose another folder."
        ) from error


def _write_values(folder: Path, pieces: Iterable[np.ndarray]) -> None:
    """One array of all pieces, the first axis counted at the end.

    Written and not mapped: mapped pages would count as the process's memory.
    """
    with (folder / VALUES).open("xb") as file:
        shape: tuple[int, ...] | None = None
        number, start = 0, 0
        for piece in pieces:
            if shape is None:
                shape = piece.shape[1:]
                start = _write_header(file, (0, *shape))
            if piece.shape[1:] != shape:
                raise DataError(
                    f"{folder}: expected patches of one shape; got {shape} and"
                    f" {piece.shape[1:]}. Cut frames with and without channels apart."
                )
            with _writing(folder):
                file.write(np.ascontiguousarray(piece, np.float32).data.cast("B"))
            number += len(piece)
            del piece  # before the next one is made
        assert shape is not None, "at least one piece"
        with _writing(folder):
            file.seek(0)
            end = _write_header(file, (number, *shape))
            file.flush()
            os.fsync(file.fileno())
        assert end == start, "NumPy leaves room in its header for more rows"


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """An npy header at the file's place; where it ends."""
    descr = np.lib.format.dtype_to_descr(np.dtype(np.float32))
    head = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)
    return file.tell()


def _write_rest(folder: Path, patches: Patches) -> None:
    """All but the values; the settings last, which make the folder whole."""
    _write_table(folder / TABLE, patches.table)
    if patches.truth is not None:
        _write_table(folder / TRUTH, patches.truth)
    settings = {
        "format": FORMAT,
        "shape": patches.values.shape,
        "pixel_size": patches.pixel_size,
        "channels": patches.channels,
        "num_dropped": patches.num_dropped,
        "metadata": dict(patches.metadata),
        "truth": patches.truth is not None,
    }
    unfinished = folder / f"{SETTINGS}.part"
    unfinished.write_text(json.dumps(settings, indent=1, default=_plain) + "\n")
    unfinished.replace(folder / SETTINGS)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    try:
        table.reset_index(drop=True).to_parquet(path)
    except (ValueError, TypeError, NotImplementedError) as error:  # of Arrow
        raise DataError(
            f"{path}: expected columns that Parquet takes, each of one type; got"
            f" {' '.join(str(error).split())[:120]}. Leave such columns out."
        ) from error


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays as JSON knows them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise DataError(
        f"expected numbers, text, lists and mappings in the patches' metadata; got a"
        f" {type(value).__name__}. Leave it out: dataclasses.replace(patches,"
        " metadata={...})."
    )


def _read_settings(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected a folder of patches; found none. Check the name, or"
            " make it: cut_patches(..., to=folder)."
        )
    if not (folder / SETTINGS).is_file():
        begun = (folder / VALUES).exists()
        raise DataError(
            f"{folder}: expected a folder of patches; "
            + (
                "its writing was interrupted. Delete it and cut the patches again."
                if begun
                else f"it has no {SETTINGS}. Check the name."
            )
        )
    try:
        settings = json.loads((folder / SETTINGS).read_text())
        found = settings["format"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(unreadable(folder / SETTINGS, error)) from error
    if found != FORMAT:
        raise DataError(
            f"{folder}: expected patches of format {FORMAT}; got {found!r}. They were"
            " written by another version: read them with that, or cut them again."
        )
    missing = sorted(set(NAMES) - set(settings))
    if missing:
        raise DataError(
            unreadable(folder / SETTINGS, KeyError(f"no {', '.join(missing)}"))
        )
    return settings
