"""The figures of a run, by name."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from jaxrvae.report.result import Result
from jaxrvae.viz.content import angle_roses, content_scatter
from jaxrvae.viz.images import class_images, manifold_figure, reconstructions
from jaxrvae.viz.maps import class_map, gallery, latent_maps
from jaxrvae.viz.training import training_history

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FRAMES = 6  # shown large
MOST_PATCHES = 12  # shown beside what the model makes of them
MANIFOLD = (9, 9)
GALLERY_ROWS = 100  # frames a gallery


def figures(result: Result) -> "Iterator[tuple[str, Figure]]":
    """(name, figure) one after the other, so that only one is held at a time."""
    movie, latents = result.frames, result.latents
    for part, start in enumerate(range(0, len(movie), GALLERY_ROWS)):
        name = "gallery" if len(movie) <= GALLERY_ROWS else f"gallery_{part + 1}"
        yield name, gallery(movie[start : start + GALLERY_ROWS], latents)
    yield "classes", class_images(result.patches, latents, result.class_images())
    yield "content", content_scatter(latents)
    symmetry = result.symmetry()
    yield "angles", angle_roses(latents, symmetry)
    rows, columns = MANIFOLD
    shape = (rows if result.model.config.content_dim > 1 else 1, columns)
    yield (
        "manifold",
        manifold_figure(
            result.model.manifold(shape), result.patches.pixel_size, latents.content
        ),
    )
    chosen = examples(result)
    poses = latents.angle[chosen], latents.shift[chosen]
    rebuilt = result.model.decode(latents.content[chosen], *poses)
    yield (
        "reconstructions",
        reconstructions(result.patches, latents, rebuilt, chosen),
    )
    yield "training", training_history(result.model.history)
    for index in shown_frames(len(movie)):
        frame = movie[index]
        yield f"classes_{frame.number:04d}", class_map(frame, latents, result.atoms)
        yield f"latents_{frame.number:04d}", latent_maps(frame, latents, symmetry)


def shown_frames(number: int) -> list[int]:
    """Indices of the frames shown large, spread evenly over the movie."""
    return sorted({round(i) for i in np.linspace(0, number - 1, MOST_FRAMES).tolist()})


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
