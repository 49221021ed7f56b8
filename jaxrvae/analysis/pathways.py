"""From content to states, transitions, free energy, and the ways between structures."""

import dataclasses
import functools
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive, whole
from jaxrvae._typing import Float, Int, Number, ndarray
from jaxrvae.analysis.geodesics import Geodesics, find_geodesics
from jaxrvae.analysis.landscape import LEAST_POINTS, FreeEnergy, find_free_energy
from jaxrvae.analysis.order import content_names
from jaxrvae.analysis.paths import Paths, find_paths
from jaxrvae.analysis.states import States, find_states, shares_by_frame
from jaxrvae.analysis.symmetry import symmetry_orders
from jaxrvae.analysis.transitions import Transitions, find_transitions
from jaxrvae.data.containers import Latents, Patches
from jaxrvae.models.canonical import canonical_decoder

MOST_PAIRS = 6  # of states that ways are sought between
LEAST_FRAMES = 5  # whole frames are held out and resampled from so many on
STRIP = 9  # images along a way


@dataclasses.dataclass(frozen=True, eq=False)
class Pathways:
    """What `find_pathways` found; parts that the data do not tell are None.

    Attributes:
        table: A row a patch: frame, track (where known), content_0 ..., state.
        states: Groups of content, largest first.
        shares: Of the states in every frame, with intervals; as `shares_by_frame`.
        transitions: Along tracks: rates, with intervals.
        free_energy: -ln p of the content.
        pairs: (p, 2) states that the paths join: those between which most tracks went
            over or, without tracks, the largest.
        paths: Minimum-free-energy paths, one a pair.
        geodesics: Of the decoder, one a pair.
        images: (k, row, col[, channel]) decoded image of every state's typical content
            or, without a model, the typical patch.
        strips: (p, 9, row, col[, channel]) decoded images along the paths.
        notes: Why a part is missing, by its name.
    """

    table: pd.DataFrame
    states: States
    shares: pd.DataFrame | None
    transitions: Transitions | None
    free_energy: FreeEnergy | None
    pairs: Int[ndarray, "p 2"]
    paths: Paths | None
    geodesics: Geodesics | None
    images: ndarray | None
    strips: ndarray | None
    notes: Mapping[str, str]

    @property
    def content(self) -> Float[ndarray, "n latent"]:
        """Of the patches."""
        return self.table[content_names(self.table)].to_numpy(np.float64)

    @property
    def typical(self) -> Float[ndarray, "k latent"]:
        """The content of every state's typical patch."""
        return self.content[self.states.representatives]

    @functools.cached_property
    def symmetry(self) -> list[int] | None:
        """The order of rotational symmetry of every state's image; for a turned pose.

        None without images, or of signals.
        """
        if self.images is None or self.images.ndim < 3:
            return None
        return symmetry_orders(self.images)

    def tables(self) -> dict[str, pd.DataFrame]:
        """What there is as tables, by name; for files."""
        states = self.states.to_dataframe()
        if self.symmetry is not None:
            states.insert(3, "symmetry", self.symmetry)
        found: dict[str, Any] = {
            "states": states,
            "shares": self.shares,
            "transitions": self.transitions and self.transitions.to_dataframe(),
        }
        for name, ways in (("paths", self.paths), ("geodesics", self.geodesics)):
            if ways is not None:
                own = ways.to_dataframe()
                own.insert(1, "from_state", self.pairs[:, 0])
                own.insert(2, "to_state", self.pairs[:, 1])
                found[name] = own
        return {name: table for name, table in found.items() if table is not None}


def find_pathways(
    latents: Latents | pd.DataFrame,
    patches: Patches | ndarray | None = None,
    model: Any = None,
    *,
    num_states: int | str = "auto",
    method: str = "gmm",
    dt: Number = 1.0,
    num_bootstraps: int = 30,
    seed: int = 0,
) -> Pathways:
    """States of the content, transitions between them, and the ways that lead over.

    Args:
        latents: Or a table with columns content_0, content_1 ..., of any program's;
            with frame, shares by frame, and with track as well, transitions.
        patches: A row a latent, to show typical ones where there is no model.
        model: The fitted `RVAE`, for decoded images and geodesics.
        num_states: How many, or "auto".
        method: How states are told apart, as `find_states` takes it.
        dt: Time from frame to frame; rates are in its inverse.
        num_bootstraps: Resamples of the free energy, for its uncertainty.
        seed: Of all that is drawn.

    Raises:
        DataError: Contents that are missing or not finite, or fewer than states need.

    >>> rng = np.random.default_rng(0)
    >>> side = np.repeat([-1.0, 1.0], 300)
    >>> one, two = rng.normal(size=(2, 600))
    >>> table = pd.DataFrame({"content_0": side + 0.3 * one, "content_1": two})
    >>> found = find_pathways(table, num_bootstraps=0)
    >>> len(found.states), found.transitions is None, sorted(found.notes)
    (2, True, ['geodesics', 'shares', 'transitions'])
    """
    table = latents.to_dataframe() if isinstance(latents, Latents) else latents
    names = content_names(table)
    content = table[names].to_numpy(np.float64)
    _check(content, table, patches, model, dt)
    whole("num_bootstraps", num_bootstraps, 0)
    frames = table["frame"].to_numpy() if "frame" in table else None
    states = find_states(
        content, num_states=num_states, method=method, frames=frames, seed=seed
    )
    own = pd.DataFrame(
        table.loc[:, [n for n in ("frame", "track", "x", "y") if n in table]]
    )
    own = pd.concat([own, table[names]], axis=1).assign(state=states.labels)
    notes: dict[str, str] = {}
    shares = None
    if frames is None or len(np.unique(frames)) < 2:
        notes["shares"] = (
            "states' shares over time need a column frame with two or more."
        )
    else:
        shares = shares_by_frame(states, frames)
    transitions = _transitions(own, states, dt, seed, notes)
    energy = _energy(content, frames, num_bootstraps, seed, notes)
    pairs = _pairs(states, transitions)
    typical = content[states.representatives]
    paths = None
    if energy is not None and len(pairs):
        seen = energy.has_data(typical)
        left = pairs[~seen[pairs].all(axis=1)]
        if len(left):
            notes["pairs"] = (
                f"no ways to the states {np.flatnonzero(~seen).tolist()}: too few"
                " contents about their typical ones."
            )
        pairs = pairs[seen[pairs].all(axis=1)]
        if len(pairs):
            paths = find_paths(energy, typical[pairs])
    geodesics = None
    if model is None:
        notes["geodesics"] = (
            "geodesics need the model: contents alone do not say how images change."
        )
    elif len(pairs):
        decoder = canonical_decoder(model.fitted)
        geodesics = find_geodesics(decoder, typical[pairs], content)
    images, strips = _images(typical, states, patches, model, paths)
    return Pathways(
        own, states, shares, transitions, energy, pairs, paths, geodesics,
        images, strips, notes,
    )  # fmt: skip


def _check(
    content: Float[ndarray, "n latent"],
    table: pd.DataFrame,
    patches: Patches | ndarray | None,
    model: Any,
    dt: Number,
) -> None:
    positive("dt", dt, "It is the time from frame to frame.")
    if not np.isfinite(content).all():
        bad = int((~np.isfinite(content)).any(axis=1).sum())
        raise DataError(
            f"expected finite contents; {bad} of {len(content)} are not. Leave those"
            " rows out."
        )
    if patches is not None and len(patches) != len(content):
        raise ValueError(
            f"expected a patch for each of {len(content)} contents; got {len(patches)}."
        )
    if model is not None and model.config.content_dim != content.shape[1]:
        raise ValueError(
            f"expected contents of the model, {model.config.content_dim} numbers each;"
            f" got {content.shape[1]}."
        )
    if "track" in table and "frame" not in table:
        raise DataError("expected a column frame beside track; it says when.")


def _transitions(
    own: pd.DataFrame, states: States, dt: Number, seed: int, notes: dict[str, str]
) -> Transitions | None:
    """Along the tracks, if any was seen twice."""
    number = len(states)
    if "track" not in own:
        notes["transitions"] = (
            "transitions need a column track: jr.link, or in a run track: {max_step:"
            " pixels}."
        )
    elif number < 2:
        notes["transitions"] = "there is one state, and nothing to go over to."
    else:
        known = (own["track"] >= 0) & (own["state"] >= 0)
        _, times = np.unique(own["track"].to_numpy()[known], return_counts=True)
        if (times > 1).any():
            columns = (own[name].to_numpy() for name in ("state", "track", "frame"))
            return find_transitions(
                *columns, dt=float(dt), num_states=number, seed=seed
            )
        notes["transitions"] = "no track was seen in two frames."
    return None


def _energy(
    content: Float[ndarray, "n latent"],
    frames: ndarray | None,
    num_bootstraps: int,
    seed: int,
    notes: dict[str, str],
) -> FreeEnergy | None:
    if len(content) < LEAST_POINTS:
        notes["free_energy"] = f"a density needs {LEAST_POINTS} patches."
        return None
    blocks = frames
    if frames is not None and len(np.unique(frames)) < LEAST_FRAMES:
        blocks = None
    return find_free_energy(content, blocks, num_bootstraps=num_bootstraps, seed=seed)


def _pairs(states: States, transitions: Transitions | None) -> Int[ndarray, "p 2"]:
    """States that were seen to go over into one another most, or the largest."""
    every = list(combinations(range(len(states)), 2))
    if transitions is not None:
        counts = np.asarray(transitions.counts, float)
        weight = {(i, j): counts[i, j] + counts[j, i] for i, j in every}
        every = [pair for pair in every if weight[pair] > 0]
        every.sort(key=lambda pair: -weight[pair])
    return np.array(every[:MOST_PAIRS], int).reshape(-1, 2)


def _images(
    typical: Float[ndarray, "k latent"],
    states: States,
    patches: Patches | ndarray | None,
    model: Any,
    paths: Paths | None,
) -> tuple[ndarray | None, ndarray | None]:
    """Of the states, and along the paths."""
    if model is None:
        if patches is None:
            return None, None
        values = patches.values if isinstance(patches, Patches) else patches
        return np.asarray(values)[states.representatives], None
    images = model.decode(typical)
    if paths is None:
        return images, None
    chosen = np.linspace(0, paths.points.shape[1] - 1, STRIP).round().astype(int)
    along = paths.points[:, chosen]
    strips = model.decode(along.reshape(-1, along.shape[-1]))
    return images, strips.reshape(len(along), STRIP, *strips.shape[1:])
