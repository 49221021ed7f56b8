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
from jaxrvae.geometry.polar import PolarBasis
from jaxrvae.models.apply import fresh_networks
from jaxrvae.models.build import Model, build_model
from jaxrvae.models.gauge import Gauge


@dataclasses.dataclass(frozen=True)
class Stored:
    """What a fitted model's file holds.

    Attributes:
        graph, params: Of the networks, as `nnx.split` gives them.
        notes: Anything that JSON takes.
    """

    config: ModelConfig
    model: Model
    graph: Any
    params: Any
    gauge: Gauge
    notes: dict[str, Any]


def write_model(path: str | Path, stored: Stored) -> None:
    """Write the file; one that stands there is replaced at once or not at all."""
    basis = stored.model.basis
    leaves = {
        f"params/{jax.tree_util.keystr(place)}": np.asarray(leaf)
        for place, leaf in jax.tree_util.tree_leaves_with_path(stored.params)
    }
    notes = {
        "version": __version__,
        "config": to_mapping(stored.config),
        "shape": stored.model.shape,
        "orders": basis.orders,
        "radius": basis.radius,
        **stored.notes,
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        np.savez(
            file,
            notes=np.array(json.dumps(notes)),
            table=basis.table,
            offset=stored.model.offset,
            scale=stored.model.scale,
            anchors=stored.gauge.content,
            anchor_angle=stored.gauge.angle,
            anchor_shift=stored.gauge.shift,
            **leaves,  # pyright: ignore[reportArgumentType]
        )
    aside.replace(path)


def read_model(path: str | Path) -> Stored:
    """What `write_model` wrote.

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


def _from_arrays(arrays: Mapping[str, ndarray]) -> Stored:
    notes = json.loads(str(arrays["notes"]))
    config = from_mapping(ModelConfig, notes["config"])
    blank = np.zeros((1, *notes["shape"]), np.float32)
    model = dataclasses.replace(
        build_model(config, blank),
        basis=PolarBasis(tuple(notes["orders"]), arrays["table"], notes["radius"]),
        offset=jnp.asarray(arrays["offset"]),
        scale=jnp.asarray(arrays["scale"]),
    )
    graph, fresh = fresh_networks(model, config, blank)
    params = jax.tree_util.tree_map_with_path(
        lambda place, _: jnp.asarray(arrays[f"params/{jax.tree_util.keystr(place)}"]),
        fresh,
    )
    names = ("anchors", "anchor_angle", "anchor_shift")
    gauge = Gauge(*(jnp.asarray(arrays[name]) for name in names))
    return Stored(config, model, graph, params, gauge, notes)
