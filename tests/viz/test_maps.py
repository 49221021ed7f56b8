import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from jaxrvae.viz import style
from jaxrvae.viz.maps import class_map, gallery, latent_maps


def dots(axis):
    """Places by colour."""
    return {
        to_hex(group.get_facecolor()[0]): np.asarray(group.get_offsets())
        for group in axis.collections
        if len(group.get_offsets())
    }


def expected(latents, number, index):
    mine = latents.class_probabilities.argmax(1) == index
    mine &= latents.table["frame"].to_numpy() == number
    return latents.table.loc[mine, ["x", "y"]].to_numpy()


def test_every_atom_lies_in_its_place_and_class(movie, latents, draw):
    atoms = pd.concat(
        [latents.table, pd.DataFrame({"frame": [5, 6], "x": [1.0, 1], "y": [2.0, 2]})]
    )
    figure = draw(class_map(movie[0], latents, atoms))
    found = dots(figure.axes[1])
    for index in range(3):
        places = found.get(style.class_color(index).lower(), np.zeros((0, 2)))
        np.testing.assert_allclose(places, expected(latents, 5, index))
    np.testing.assert_allclose(found["#ffffff"], [[1, 2]])
    assert figure.axes[0].get_title(loc="left") == "frame0.tif"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == "without a whole window (1)"


def test_angles_are_modulo_the_symmetry(movie, latents, draw):
    figure = draw(latent_maps(movie[1], latents, symmetry=[6, 1, 1]))
    angle = figure.axes[2]
    assert angle.get_title(loc="left") == "angle modulo 60°"
    values = np.asarray(angle.collections[0].get_array())
    mine = latents.table["frame"].to_numpy() == 6
    np.testing.assert_allclose(values, np.degrees(latents.angle[mine]) % 60, atol=1e-4)
    assert angle.collections[0].get_clim() == (0, 60)


def test_symmetry_of_the_patches_is_the_default(movie, latents, draw):
    figure = draw(latent_maps(movie[1], latents))
    assert figure.axes[2].get_title(loc="left") == "angle modulo 120°"


def test_colors_are_the_same_in_all_frames(movie, latents):
    limits = [
        latent_maps(frame, latents).axes[0].collections[0].get_clim() for frame in movie
    ]
    assert limits[0] == limits[1] == limits[2]


def test_one_content_makes_one_map(movie, latents, draw):
    one = dataclasses.replace(
        latents,
        content=latents.content[:, :1],
        content_std=latents.content_std[:, :1],
    )
    titles = [a.get_title(loc="left") for a in draw(latent_maps(movie[0], one)).axes]
    assert titles[:2] == ["content 0", "angle modulo 120°"]


def test_gallery_shows_every_frame(movie, latents, draw):
    figure = draw(gallery(movie, latents))
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == ["5", "6", "7"]
    for axis, frame in zip(shown, movie, strict=True):
        places = np.concatenate(list(dots(axis).values()))
        mine = latents.table[latents.table["frame"] == frame.number]
        assert len(places) == len(mine)


def test_frame_without_patches_is_shown(movie, latents, draw):
    frame = dataclasses.replace(movie[0], number=99)
    draw(class_map(frame, latents))
    draw(latent_maps(frame, latents))


def test_places_are_needed(movie, latents):
    bare = dataclasses.replace(latents, table=pd.DataFrame(index=range(60)))
    with pytest.raises(ValueError, match="columns frame, x and y"):
        class_map(movie[0], bare)
