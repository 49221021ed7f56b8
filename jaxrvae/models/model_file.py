"""A fitted model in one file: NumPy's npz, in which nothing is pickled."""

import dataclasses
import json
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._checks import DataError, existing_file
from jaxrvae._typing import ndarray
from jaxrvae._version import __version__
from jaxrvae.config import ModelConfig, from_mapping, to_mapping
from jaxrvae.config.choices import PriorNotGiven, described, is_program
from jaxrvae.data.known import Known
from jaxrvae.geometry.polar import PolarBasis
from jaxrvae.models.build import build_model
from jaxrvae.models.fitted import FittedModel, leaf_names, with_fresh_weights
from jaxrvae.models.gauge import Gauge

Contents = tuple[list[FittedModel], dict[str, Any], dict[str, ndarray]]


def write_model(
    path: str | Path,
    members: Sequence[FittedModel],
    notes: dict[str, Any],
    extra: Mapping[str, ndarray] = types.MappingProxyType({}),
) -> None:
    """Write the file; one that stands there is replaced at once or not at all.

    Args:
        members: One, or those of an ensemble, which differ in seed and weights.
        notes: Anything that JSON takes.
        extra: Further arrays.
    """
    fitted = members[0]
    model = fitted.model
    arrays: dict[str, Any] = {f"extra/{name}": value for name, value in extra.items()}
    for i, member in enumerate(members):
        names, leaves = leaf_names(member.params), jax.tree.leaves(member.params)
        own = {f"params/{n}": v for n, v in zip(names, leaves, strict=True)}
        gauge = member.gauge
        own |= {
            "anchors": gauge.content,
            "anchor_angle": gauge.angle,
            "anchor_shift": gauge.shift,
            "anchor_weight": gauge.weight,
        }
        arrays |= {f"{i}/{name}": np.asarray(value) for name, value in own.items()}
    notes = notes | {
        "version": __version__,
        "config": to_mapping(fitted.config),
        "known": dataclasses.asdict(fitted.known),
        "shape": model.shape,
        "orders": model.basis.orders,
        "radius": model.basis.radius,
        "max_frequency": getattr(model, "max_frequency", None),
        "seeds": [member.config.seed for member in members],
        "rest_std": [member.rest_std for member in members],
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
            **arrays,
        )
    aside.replace(path)


def read_model(path: str | Path, prior: Any = None) -> Contents:
    """What `write_model` wrote: the members, the notes and the further arrays.

    Args:
        prior: The NumPyro model that it was fitted with, which no file holds.

    Raises:
        DataError: If the file is missing or is not such a model.
        ValueError: If it was fitted with a NumPyro model, and not with this one.
    """
    path = existing_file(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        notes = json.loads(str(arrays["notes"]))
        _hand_in(notes["config"], prior)
        return _from_arrays(arrays, notes)
    except PriorNotGiven:
        raise
    except Exception as error:
        raise DataError(
            f"{path}: expected a model written by RVAE.save; got "
            f"{type(error).__name__}. Fit the model again and save it."
        ) from error


def _hand_in(config: dict[str, Any], prior: Any) -> None:
    """The prior in its place, if it is the one that was there."""
    had = config.get("prior")
    if prior is None:
        return
    wanted = had["of"] if isinstance(had, dict) and "of" in had else repr(had)
    if not is_program(prior) or described(prior) != had:
        got = described(prior)["of"] if is_program(prior) else repr(prior)
        raise PriorNotGiven(f"the model was fitted with prior {wanted}; got {got}.")
    config["prior"] = prior


def _from_arrays(arrays: Mapping[str, ndarray], notes: dict[str, Any]) -> Contents:
    config = from_mapping(ModelConfig, notes["config"])
    parts = notes["known"].items()
    plain: Any = {n: tuple(v) if isinstance(v, list) else v for n, v in parts}
    known = Known(**plain)
    blank = np.zeros((1, *notes["shape"]), np.float32)
    model = dataclasses.replace(
        build_model(config, blank, notes.get("max_frequency")),
        basis=PolarBasis(tuple(notes["orders"]), arrays["table"], notes["radius"]),
        offset=jnp.asarray(arrays["offset"]),
        scale=jnp.asarray(arrays["scale"]),
    )
    fresh = with_fresh_weights(config, known, model, blank)
    both = zip(notes["seeds"], notes["rest_std"], strict=True)
    members = []
    for i, (seed, rest_std) in enumerate(both):
        paths = [f"{i}/params/{name}" for name in leaf_names(fresh.params)]
        leaves = [jnp.asarray(arrays[path]) for path in paths]
        params = jax.tree.unflatten(jax.tree.structure(fresh.params), leaves)
        names = ("anchors", "anchor_angle", "anchor_shift", "anchor_weight")
        gauge = Gauge(*(jnp.asarray(arrays[f"{i}/{name}"]) for name in names))
        own = dataclasses.replace(config, seed=seed)
        changes = {"config": own, "params": params, "gauge": gauge}
        members.append(dataclasses.replace(fresh, **changes, rest_std=rest_std))
    prefix = "extra/"
    extra = {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
    return members, notes, extra
