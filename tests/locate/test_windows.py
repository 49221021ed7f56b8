import numpy as np
import pandas as pd
import pytest

from jaxrvae._checks import DataError
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.windows import cut_windows, kind_of, with_brightness


def lattice(spacing, size=96, pixel_size=None, number=0):
    """A square lattice of Gaussian atoms, and where they are."""
    axis = np.arange(spacing, size - spacing / 2, spacing)
    x, y = (places.ravel() for places in np.meshgrid(axis, axis))
    rows, columns = np.mgrid[:size, :size]
    image = np.zeros((size, size), np.float32)
    for place in zip(x, y, strict=True):
        square = (columns - place[0]) ** 2 + (rows - place[1]) ** 2
        image += np.exp(-square / (2 * (0.2 * spacing) ** 2))
    atoms = pd.DataFrame({"frame": number, "x": x, "y": y, "intensity": 1.0})
    return Frame(image, pixel_size, f"lattice {number}", number), atoms


def test_window_without_pixel_size_is_in_spacings():
    pairs = [lattice(6.0), lattice(8.0, number=1)]
    movie = Frames(tuple(frame for frame, _ in pairs))
    atoms = pd.concat([table for _, table in pairs], ignore_index=True)
    patches = cut_windows(movie, atoms)
    assert patches.pixel_size is None
    assert patches.metadata["window"] == 7
    assert patches.values.shape[1] == 48  # of 56 pixels, in the finer frame
    first, second = (
        patches.values[patches.table["frame"] == number].mean(0) for number in (0, 1)
    )
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.98


def test_size_is_that_of_the_window_and_48_at_most():
    frame, atoms = lattice(6.0, pixel_size=0.05)
    assert cut_windows(Frames((frame,)), atoms).values.shape[1] == 20
    fine, atoms = lattice(12.0, pixel_size=0.01)
    patches = cut_windows(Frames((fine,)), atoms, window=0.6)
    assert patches.values.shape[1] == 48
    assert patches.pixel_size == pytest.approx(0.6 / 48)


def test_window_in_nm_without_pixel_size_is_refused():
    frame, atoms = lattice(6.0)
    with pytest.raises(DataError, match=r"lattice 0: window=1 nm needs the pixel size"):
        cut_windows(Frames((frame,)), atoms, window=1.0)


def test_own_pixels_where_no_window_is_asked_for():
    frame, atoms = lattice(6.0)
    patches = cut_windows(Frames((frame,)), atoms, window=None, size=20)
    assert patches.values.shape[1] == 20


def test_brightness_is_relative_to_the_frame():
    atoms = pd.DataFrame({"frame": [0, 0, 0, 1], "intensity": [1.0, 2.0, 8.0, 50.0]})
    assert with_brightness(atoms)["brightness"].tolist() == [0.5, 1.0, 4.0, 1.0]


@pytest.mark.parametrize(
    ("channels", "kind"),
    [
        (("intensity",), "stem"),
        (("HAADF", "ABF"), "stem"),
        (("HeightRetrace", "Amplitude1Retrace", "Phase1Retrace"), "pfm"),
        (("polarity", "amplitude"), "pfm"),
    ],
)
def test_kind_is_told_by_the_channels(channels, kind):
    frame = Frame(np.zeros((4, 4, len(channels))))
    assert kind_of(Frames((frame,), channels=channels)) == kind
