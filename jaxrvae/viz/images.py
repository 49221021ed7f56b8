"""Images that the model makes, beside those that it was given."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrvae._typing import Float, Int, ndarray
from jaxrvae.data.containers import Latents, Patches
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ALIGNED = 400  # patches of a class that its mean is taken over


def manifold_figure(
    images: Float[ndarray, "rows columns height width *channel"],
    pixel_size: float | None = None,
    content: Float[ndarray, "n latent"] | None = None,
) -> "Figure":
    """Decoded images on the grid of the first two contents, as `RVAE.manifold` gives.

    Args:
        pixel_size: nm per pixel of the images.
        content: Of the patches; images that stand for none of them are faded.
    """
    rows, columns, height, width = images.shape[:4]
    planes = images if images.ndim == 4 else images[..., 0]
    low, high = np.percentile(planes, [0.2, 99.8])
    counts = None if content is None else _grid_counts(content, rows, columns)
    with style.styled():
        figure, axes = style.new_figure(6.4, 6.3 * rows / columns + 0.4, rows, columns)
        engine: Any = figure.get_layout_engine()
        engine.set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
        for i, axis in enumerate(axes.flat):
            place = divmod(i, columns)
            faded = counts is not None and counts[place] == 0
            style.show_image(
                axis, planes[place], bar=False, vmin=low, vmax=high,
                alpha=0.25 if faded else 1.0,
            )  # fmt: skip
        wide = "" if pixel_size is None else f"   ({width * pixel_size:.3g} nm each)"
        figure.supxlabel(f"content 0 →{wide}", fontsize=9)
        figure.supylabel("content 1 →", fontsize=9)
        return figure


def _grid_counts(
    content: Float[ndarray, "n latent"], rows: int, columns: int
) -> Int[ndarray, "{rows} {columns}"]:
    """Patches by the cell of prior quantiles, the second content upwards."""
    from scipy.stats import norm

    share = norm.cdf(content)
    column = np.minimum((share[:, 0] * columns).astype(int), columns - 1)
    row = np.zeros(len(content), int)
    if content.shape[1] > 1:
        row = rows - 1 - np.minimum((share[:, 1] * rows).astype(int), rows - 1)
    counts = np.zeros((rows, columns), int)
    np.add.at(counts, (row, column), 1)
    return counts


def class_images(
    patches: Patches, latents: Latents, decoded: Float[ndarray, "cls ..."]
) -> "Figure":
    """Each class: the mean of its patches turned upright, and its decoded image.

    Grey levels go with the square root, so that light atoms show beside heavy ones.

    Args:
        decoded: The image of each class's mean content, at angle 0.
    """
    means, counts = aligned_means(patches, latents)
    bar = patches.pixel_size is not None  # else pixels are resampled: no length
    number = len(means)
    columns = min(number, 8)
    blocks = -(-number // columns)
    shown = np.concatenate([means, _planes(decoded)])
    norm = root_norm(*np.nanpercentile(shown, [0.2, 99.9]))
    with style.styled():
        figure, axes = style.new_figure(
            1.42 * max(columns, 4), 3.25 * blocks, 2 * blocks, columns
        )
        for axis in axes.flat:
            axis.set_visible(False)
        for index in range(number):
            block, column = divmod(index, columns)
            pair = axes[2 * block : 2 * block + 2, column]
            titles = (f"class {index}", None)
            images = (means[index], _planes(decoded)[index])
            for axis, image, title in zip(pair, images, titles, strict=True):
                axis.set_visible(True)
                style.show_image(
                    axis,
                    image,
                    patches.pixel_size,
                    bar=bar and title is not None,
                    norm=norm,
                )
                if title:
                    axis.set_title(
                        f"{title}\n{counts[index]} patches",
                        color=style.INK, fontsize=8.5,
                    )  # fmt: skip
                    axis.plot(
                        [0.02, 0.98], [1.0, 1.0], transform=axis.transAxes, lw=4,
                        color=style.class_color(index), clip_on=False,
                    )  # fmt: skip
            if column == 0:
                pair[0].set_ylabel("mean patch")
                pair[1].set_ylabel("decoded")
        return figure


def reconstructions(
    patches: Patches,
    latents: Latents,
    rebuilt: Float[ndarray, "n ..."],
    rows: ndarray,
) -> "Figure":
    """Patches (top), what the model makes of them, and what is left (bottom).

    Args:
        rebuilt: The model's image of those patches that `rows` names.
    """
    given = _planes(patches.values[rows])
    made = _planes(rebuilt)
    classes = latents.class_probabilities.argmax(axis=1)[rows]
    norm = root_norm(*np.percentile(given, [0.5, 99.9]))
    half = float(np.percentile(np.abs(given - made), 99.5))
    with style.styled():
        figure, axes = style.new_figure(1.05 * len(rows), 3.5, 3, len(rows))
        for k in range(len(rows)):
            for axis, image in zip(axes[:2, k], (given[k], made[k]), strict=True):
                axis.imshow(image, cmap="gray", norm=norm)
            axes[2, k].imshow(given[k] - made[k], cmap="RdBu_r", vmin=-half, vmax=half)
            axes[0, k].set_title(
                f"class {classes[k]}", fontsize=8, loc="center", fontweight="normal"
            )
            for axis in axes[:, k]:
                style.bare(axis)
        for axis, label in zip(
            axes[:, 0], ("patch", "model", "difference"), strict=True
        ):
            axis.set_ylabel(label)
        return figure


def root_norm(low: float, high: float) -> Any:
    """Grey levels by the square root above `low`."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, low, max(high, low + 1e-6), clip=True)


def aligned_means(
    patches: Patches, latents: Latents
) -> tuple[Float[ndarray, "cls height width"], ndarray]:
    """The mean patch of every class, each patch turned back by its angle, and counts.

    Outside the disc that every turn covers, the mean is of what there is.
    """
    classes = latents.class_probabilities.argmax(axis=1)
    number = latents.class_probabilities.shape[1]
    planes = _planes(patches.values)
    means = np.full((number, *planes.shape[1:]), np.nan)
    for index in range(number):
        mine = np.flatnonzero(classes == index)
        step = max(1, len(mine) // MOST_ALIGNED)
        turned = [turned_back(planes[i], float(latents.angle[i])) for i in mine[::step]]
        if turned:
            stack = np.stack(turned)
            seen = np.isfinite(stack)
            total = np.where(seen, stack, 0).sum(axis=0)
            means[index] = total / np.maximum(seen.sum(axis=0), 1)
    return means, np.bincount(classes, minlength=number)


def turned_back(
    image: Float[ndarray, "height width"], angle: float
) -> Float[ndarray, "height width"]:
    """The image turned by -angle about its centre; NaN where nothing is known."""
    from scipy import ndimage

    # Out of upright place (row, col), the image holds it turned by +angle as displayed.
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]])
    centre = (np.array(image.shape) - 1) / 2
    return ndimage.affine_transform(
        image.astype(np.float64),
        matrix,
        (centre - matrix @ centre).tolist(),
        order=1,
        cval=np.nan,
    )


def _planes(images: ndarray) -> ndarray:
    """(n, row, col): the first channel."""
    return images if images.ndim == 3 else images[..., 0]
