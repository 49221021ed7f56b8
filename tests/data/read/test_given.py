from types import SimpleNamespace

import numpy as np
import pytest

from jaxrvae import DataError
from jaxrvae.data.read import read


@pytest.mark.parametrize("lazy", [False, True])
def test_numpy_arrays(movie, lazy):
    np.testing.assert_array_equal(read(movie, lazy=lazy).values, movie)
    np.testing.assert_array_equal(read(movie[0], lazy=lazy)[0].values, movie[0])
    channels = np.moveaxis(movie, 0, -1)[None]
    assert read(channels, pixel_size=0.1, lazy=lazy)[0].shape == (12, 16, 3)
    assert read(channels, pixel_size=0.1).pixel_size == 0.1
    np.testing.assert_array_equal(read(channels, channel=1)[0].values, movie[1])


def test_lists_of_arrays_and_files(movie, write):
    frames = read([movie[0], write("a.npy"), movie[1, :5]])
    assert [frame.shape for frame in frames] == [(12, 16)] * 4 + [(5, 16)]
    assert frames.numbers.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("given", [3.0, [[1.0, 2.0]], {"a": 1}, None])
def test_what_is_neither_path_nor_array(given):
    with pytest.raises(DataError, match="expected paths of files or arrays"):
        read(given)


def test_bad_arrays(movie):
    for bad, message in (
        (movie[0, 0], "shape"),
        (movie.astype(complex), "complex"),
        (np.where(movie > 1, np.nan, movie), "NaN"),
        (np.array([[{}, 1]], dtype=object), "object"),
    ):
        with pytest.raises(DataError, match=message):
            read(bad)


def test_dask_computes_the_frames_that_are_looked_at(movie):
    dask = pytest.importorskip("dask")
    array = pytest.importorskip("dask.array")
    computed = []

    def frame(index):
        computed.append(index)
        return movie[index]

    frames = array.stack(
        [
            array.from_delayed(dask.delayed(frame)(i), (12, 16), movie.dtype)
            for i in range(3)
        ]
    )
    lazy = read(frames, lazy=True)
    assert computed == []
    np.testing.assert_array_equal(lazy[1].values, movie[1])
    assert computed == [1]


def test_xarray_is_sorted_by_its_dimensions(movie):
    xarray = pytest.importorskip("xarray")
    data = xarray.DataArray(
        movie,
        dims=("channel", "y", "x"),
        coords={
            "channel": ["height", "amplitude", "phase"],
            "y": ("y", 0.002 * np.arange(12), {"units": "um"}),
            "x": ("x", 0.002 * np.arange(16), {"units": "um"}),
        },
        attrs={"dwell_time": 3e-6},
        name="scan",
    )
    frames = read(data)
    assert frames.channels == ("height", "amplitude", "phase")
    assert frames.pixel_size == pytest.approx(2.0)
    assert frames[0].metadata["dwell_time"] == 3e-6
    np.testing.assert_array_equal(frames[0].values, np.moveaxis(movie, 0, -1))
    turned = read(data.transpose("x", "channel", "y"), channel="phase")
    np.testing.assert_array_equal(turned[0].values, movie[2])
    stack = read(data.rename(channel="time").drop_vars("time"), lazy=True)
    np.testing.assert_array_equal(stack.values, movie)


def test_uneven_coordinates_give_no_pixel_size(movie):
    xarray = pytest.importorskip("xarray")
    uneven = ("x", np.arange(16.0) ** 2, {"units": "nm"})
    even = ("y", np.arange(12.0), {"units": "nm"})
    data = xarray.DataArray(movie[0], dims=("y", "x"), coords={"x": uneven, "y": even})
    assert read(data).pixel_size is None


def hyperspy_signal(data, num_signal_axes=2):
    """What HyperSpy's Signal2D shows: signal axes x first, the array (t, y, x)."""

    def axis(name, index):
        return SimpleNamespace(
            name=name, index_in_array=index, scale=0.5, units="nm",
            size=data.shape[index],
        )  # fmt: skip

    axes = [axis("x", data.ndim - 1), axis("y", data.ndim - 2)]
    tree = SimpleNamespace(
        General=SimpleNamespace(title="HAADF"),
        as_dictionary=lambda: {"Acquisition_instrument": {"dwell_time": 1e-5}},
    )
    return SimpleNamespace(
        axes_manager=SimpleNamespace(signal_axes=axes[:num_signal_axes]),
        data=data,
        metadata=tree,
        original_metadata=tree,
    )


def test_hyperspy_signals(movie):
    frames = read(hyperspy_signal(movie), lazy=True)
    np.testing.assert_array_equal(frames.values, movie)
    assert frames.pixel_size == pytest.approx(0.5)
    assert frames[0].metadata["dwell_time"] == 1e-5
    scanned = read(hyperspy_signal(movie[None]))  # two navigation axes
    np.testing.assert_array_equal(scanned.values, movie)
    with pytest.raises(DataError, match="Signal2D"):
        read(hyperspy_signal(movie, num_signal_axes=1))


def test_sidpy_datasets_are_shown_as_sidpy_shows_them(movie):
    class Dataset(np.ndarray):  # sidpy's is a dask array with such attributes
        pass

    data = np.moveaxis(movie, 0, -1).transpose(1, 0, 2).view(Dataset)  # x, y, time
    data.quantity, data.units, data.title = "height", "m", "scan"
    data.original_metadata = {"gain": 2}
    data._axes = {
        i: SimpleNamespace(name=name, units=unit, values=5e-10 * np.arange(count))
        for i, (name, unit, count) in enumerate(
            [("x", "m", 16), ("y", "m", 12), ("time", "s", 3)]
        )
    }
    frames = read(data)
    np.testing.assert_array_equal(frames.values, movie)
    assert frames.pixel_size == pytest.approx(0.5)
    assert frames[0].metadata["channel_units"] == ("m",)
    assert frames[0].metadata["original"] == {"gain": 2}
