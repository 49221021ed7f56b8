"""Frames to atoms: where they are, how bright, how wide, and how sure."""

import dataclasses
from typing import Literal

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, between, one_of, positive
from jaxrvae._typing import Number
from jaxrvae.data.containers import Frames
from jaxrvae.locate.atom_net import find_by_net
from jaxrvae.locate.channels import channel_index, plane
from jaxrvae.locate.seek import Found, Options, seek

NUM_SAMPLED = 5  # frames whose distances of neighbours are taken for all
UNLIKE = 0.15  # a sampled frame's own distance that far off is not used


def find_atoms(
    movie: Frames,
    *,
    method: Literal["gaussians", "network"] = "gaussians",
    spacing: Number | None = None,
    channel: int | str = 0,
    false_share: Number = 0.01,
) -> pd.DataFrame:
    """Atoms (or atomic columns) of every frame, to a fraction of a pixel.

    The image's own spectrum gives its noise and the filter that removes it; maxima of
    the filtered image start a model of overlapping Gaussians on a smooth background
    that is fitted to the raw pixels for all atoms at once. What the residual still
    holds above the noise is added, what the fit finds no evidence for is taken out,
    and the model fitted again. Atoms are bright; they share a width within 10 % and
    scatter little in the distance to their nearest neighbour. 600 atoms take about half
    a second of one core, after 3 s of compiling. Frames are looked at one by one and
    not kept: a movie that is read lazily may be larger than memory.

    At low doses, where noise hides single atoms, the "network" finds more of them: it
    was trained on simulated graphene and MoS2 (`jaxrvae.locate.atom_training`), and
    knows what lattices, vacancies and boundaries look like. Its atoms are then fitted
    in the same way.

    Args:
        movie: Annular dark-field frames, or others in which atoms are bright.
        method: "gaussians", from what stands above the noise alone; or "network".
        spacing: Distance of neighbouring atoms in nm (in pixels where the pixel size
            is not known). Without it, that of the filtered images' maxima: the median
            over frames with known pixel size, each frame's own elsewhere.
        channel: Index or name of the channel, where images have several.
        false_share: Atoms that noise alone may add, as a share of the sites that a
            frame has room for; nominal, for noise without correlations.

    Returns:
        One row an atom: frame (its number), x and y (pixels), intensity (peak height
        above the background, in the image's units), sigma (Gaussian width, pixels) and
        confidence (the probability that it is an atom and not noise, calibrated on
        simulated graphene). With the network also heavy (the probability that it is
        twice as bright as usual: another element).

    Raises:
        DataError: A frame holds no atoms, or frame numbers repeat.

    >>> from jaxrvae.simulate import simulate
    >>> movie = simulate("graphene", seed=0, num_frames=1, size=64, snr=5.0)
    >>> find_atoms(movie).columns.tolist()
    ['frame', 'x', 'y', 'intensity', 'sigma', 'confidence']
    """
    if spacing is not None:
        positive("spacing", spacing, "It is in nm, or pixels without a pixel size.")
    one_of("method", method, ("gaussians", "network"))
    between("false_share", false_share, 1e-9, 0.5)
    movie.index_by_number()
    options = Options(false_share=false_share)
    which = channel_index(movie, channel)
    done, usual = ({}, None) if spacing else _sampled(movie, which, options)
    tables = []
    for i, frame in enumerate(movie):
        image, found = plane(frame, which), done.get(i)
        distance = spacing if frame.pixel_size is None else spacing or usual
        pixels = None if distance is None else distance / (frame.pixel_size or 1)
        own = dataclasses.replace(options, spacing=pixels)
        if method == "network":
            found = find_by_net(image, pixels or (found or seek(image, own)).spacing)
        elif found is None:
            found = seek(image, own)
        if found.table.empty:
            raise DataError(
                f"{frame.name or f'frame {frame.number}'}: expected atoms; found none"
                " above the noise. Check the channel and that atoms are bright, or give"
                " their distance: find_atoms(movie, spacing=nm)."
            )
        found.table.insert(0, "frame", frame.number)
        tables.append(found.table)
    return pd.concat(tables, ignore_index=True)


def _sampled(
    movie: Frames, channel: int, options: Options
) -> tuple[dict[int, Found], float | None]:
    """The atoms of a few frames, and the distance of neighbours that is usual, nm."""
    known = [i for i, frame in enumerate(movie) if frame.pixel_size is not None]
    if not known:
        return {}, None
    places = np.linspace(0, len(known) - 1, min(NUM_SAMPLED, len(known)))
    done, distances = {}, {}
    for i in (known[int(place)] for place in np.unique(places.round())):
        frame = movie[i]
        done[i] = seek(plane(frame, channel), options)
        if not done[i].table.empty:
            distances[i] = done[i].spacing * (frame.pixel_size or 1.0)
    if not distances:
        return {}, None
    usual = float(np.median(list(distances.values())))
    alike = [i for i in distances if abs(distances[i] / usual - 1) < UNLIKE]
    return {i: done[i] for i in alike}, usual
