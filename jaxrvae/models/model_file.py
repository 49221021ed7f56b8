"""A fitted model in one file: NumPy's npz, in which nothing is pickled."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._checks import DataError, existing_file
from jaxrvae._typing import ndarray
from jaxrvae._version import __version__
from jaxrvae.config import ModelConfig, from_mapping, to_mapping
from jaxrvae.data.known import Known
from jaxrvae.geometry.polar import PolarBasis
from jaxrvae.models.build import build_model
from jaxrvae.models.fitted import FittedModel, leaf_names, with_fresh_weights
from jaxrvae.models.gauge import Gauge


def write_model(path: str | Path, fitted: FittedModel, notes: dict[str, Any]) -> None:
    """Write the file; one that stands there is replaced at once or not at all.

    Args:
        notes: Anything that JSON takes.
    """
    model, gauge = fitted.model, fitted.gauge
    names, leaves = leaf_names(fitted.params), jax.tree.leaves(fitted.params)
    weights = {f"params/{n}": np.asarray(v) for n, v in zip(names, leaves, strict=True)}
    notes = notes | {
        "version": __version__,
        "config": to_mapping(fitted.config),
        "known": dataclasses.asdict(fitted.known),
        "shape": model.shape,
        "orders": model.basis.orders,
        "radius": model.basis.radius,
        "rest_std": fitted.rest_std,
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        np.savez(
            file,
            notes=np.array(json.dumps(notes)),
            table=model.basis.table,
            offset=model.offset,
            scale=model.scale,
            anchors=gauge.content,
            anchor_angle=gauge.angle,
            anchor_shift=gauge.shift,
            **weights,  # pyright: ignore[reportArgumentType]
        )
    aside.replace(path)


def read_model(path: str | Path) -> tuple[FittedModel, dict[str, Any]]:
    """What `write_model` wrote: the model and the notes.

    Raises:
        DataError: If the file is missing or is not such a model.
    """
    path = existing_file(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _from_arrays(arrays)
    except Exception as error:
        raise DataError(
            f"{path}: expected a model written by RVAE.save; got "
            f"{type(error).__name__}. Fit the model again and save it."
        ) from error


def _from_arrays(arrays: Mapping[str, ndarray]) -> tuple[FittedModel, dict[str, Any]]:
    notes = json.loads(str(arrays["notes"]))
    config = from_mapping(ModelConfig, notes["config"])
    known = Known(
        notes["known"]["num_classes"],
        tuple(notes["known"]["subtracted"]),
        tuple(notes["known"]["divided_by"]),
    )
    blank = np.zeros((1, *notes["shape"]), np.float32)
    model = dataclasses.replace(
        build_model(config, blank),
        basis=PolarBasis(tuple(notes["orders"]), arrays["table"], notes["radius"]),
        offset=jnp.asarray(arrays["offset"]),
        scale=jnp.asarray(arrays["scale"]),
    )
    fresh = with_fresh_weights(config, known, model, blank)
    leaves = [jnp.asarray(arrays[f"params/{n}"]) for n in leaf_names(fresh.params)]
    params = jax.tree.unflatten(jax.tree.structure(fresh.params), leaves)
    names = ("anchors", "anchor_angle", "anchor_shift")
    gauge = Gauge(*(jnp.asarray(arrays[name]) for name in names))
    loaded = dataclasses.replace(
        fresh, params=params, gauge=gauge, rest_std=notes["rest_std"]
    )
    return loaded, notes
