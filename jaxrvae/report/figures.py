"""The figures of a run, by name."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from jaxrvae.report.result import Result
from jaxrvae.viz.content import angle_roses, content_scatter
from jaxrvae.viz.images import class_images, manifold_figure, reconstructions
from jaxrvae.viz.maps import class_map, gallery, latent_maps
from jaxrvae.viz.pathways import pathway_figures
from jaxrvae.viz.training import training_history
from jaxrvae.viz.walls import wall_maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FRAMES = 6  # shown large
MOST_PATCHES = 12  # shown beside what the model makes of them
GALLERY = 100  # frames in one
MOST_GALLERIES = 2


def figures(result: Result) -> "Iterator[tuple[str, Figure]]":
    """(name, figure) one after the other, so that only one is held at a time."""
    movie, latents = result.frames, result.latents
    small = spread(len(movie), GALLERY * MOST_GALLERIES) if len(movie) > 1 else []
    for part, start in enumerate(range(0, len(small), GALLERY)):
        numbered = sorted(movie, key=lambda frame: frame.number)
        frames = tuple(numbered[i] for i in small[start : start + GALLERY])
        name = "gallery" if len(small) <= GALLERY else f"gallery_{part + 1}"
        yield name, gallery(dataclasses.replace(movie, frames=frames), latents)
    if "wall" in result.positions:
        shown = [movie[i] for i in spread(len(movie), MOST_FRAMES)]
        some = dataclasses.replace(movie, frames=tuple(shown))
        yield "walls", wall_maps(some, result.positions)
    yield "classes", class_images(result.patches, latents, result.class_images)
    yield "content", content_scatter(latents)
    yield "angles", angle_roses(latents, result.symmetry)
    yield (
        "manifold",
        manifold_figure(result.manifold, result.patches.pixel_size, latents.content),
    )
    chosen = examples(result)
    rebuilt = result.rebuilt(chosen)
    yield (
        "reconstructions",
        reconstructions(result.patches, latents, rebuilt, chosen),
    )
    if result.pathways is not None:
        yield from pathway_figures(result.pathways)
    yield "training", training_history(result.model.history)
    for index in spread(len(movie), MOST_FRAMES):
        frame = movie[index]
        yield f"classes_{frame.number:04d}", class_map(frame, latents, result.positions)
        yield (
            f"latents_{frame.number:04d}",
            latent_maps(frame, latents, result.symmetry),
        )


def spread(number: int, most: int) -> list[int]:
    """At most so many of the indices below `number`, evenly spread, ends included.

    >>> spread(4, 9), spread(99, 3)
    ([0, 1, 2, 3], [0, 49, 98])
    """
    places = np.linspace(0, number - 1, min(number, most))
    return np.unique(places.round().astype(int)).tolist()


def examples(result: Result) -> np.ndarray:
    """Rows of a few patches of every class, chosen evenly along the table."""
    labels = result.classes.labels
    each = max(1, MOST_PATCHES // len(result.classes))
    rows = []
    for index in range(len(result.classes)):
        mine = np.flatnonzero(labels == index)
        if len(mine):
            places = np.linspace(0, len(mine) - 1, min(each, len(mine)) + 2)[1:-1]
            rows.append(mine[places.round().astype(int)])
    return np.concatenate(rows)[:MOST_PATCHES]
