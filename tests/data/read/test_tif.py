import struct

import numpy as np
import pytest
import tifffile

from jaxrvae import DataError
from jaxrvae.data.read import read


@pytest.fixture
def movie():
    return np.random.default_rng(1).normal(size=(7, 12, 16)).astype(np.float32)


def written(path, *images, **options):
    """A TIFF with a series for each of the images."""
    with tifffile.TiffWriter(path, byteorder=options.pop("byteorder", "<")) as file:
        for image in images:
            file.write(image, contiguous=False, photometric="minisblack", **options)
    with tifffile.TiffFile(path) as file:
        assert len(file.series) == len(images)
    return path


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}])
def test_pages_that_are_a_series_each(tmp_path, movie, options, lazy):
    frames = read(written(tmp_path / "a.tif", *movie, **options), lazy=lazy)
    assert len(frames) == 7
    np.testing.assert_array_equal(frames.values, movie)
    np.testing.assert_array_equal(frames[4].values, movie[4])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_stacks_written_one_after_another(tmp_path, movie, options):
    path = written(tmp_path / "a.tif", movie[:3], movie[3], movie[4:], **options)
    frames = read(path, lazy=True)
    np.testing.assert_array_equal(frames.values, movie)
    np.testing.assert_array_equal(frames[3].values, movie[3])


def test_pages_with_channels(tmp_path):
    pages = np.random.default_rng(0).integers(0, 255, (3, 8, 9, 3)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page, contiguous=False, photometric="rgb")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").values, pages)


def test_thumbnails_levels_and_other_types_stay_out(tmp_path, movie):
    small, whole = movie[0, ::2, ::2], movie[1].astype(np.float64)
    path = written(tmp_path / "a.tif", movie[0], small, whole, movie[1], movie[2])
    np.testing.assert_array_equal(read(path).values, movie[:3])
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        for image in movie[:2]:
            file.write(image, contiguous=False, subifds=1)
            file.write(image[::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(read(tmp_path / "pyramid.tif").values, movie[:2])


def test_lazy_pages_are_read_when_looked_at(tmp_path, movie, monkeypatch):
    path = written(tmp_path / "a.tif", *movie, compression="zlib")
    decoded = []
    whole = tifffile.TiffPage.asarray

    def asarray(page, *args, **kwargs):
        decoded.append(page.index)
        return whole(page, *args, **kwargs)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    frames = read(path, lazy=True)
    assert not decoded
    np.testing.assert_array_equal(frames[5].values, movie[5])
    assert decoded == [5]


def test_a_later_page_beyond_the_end_is_refused(tmp_path, movie):
    """Its strip is said to be 3 GB; no room is made for it."""
    path = written(tmp_path / "a.tif", *movie, compression="zlib")
    with tifffile.TiffFile(path) as file:
        tag = file.series[5].pages[0].tags["StripByteCounts"]
        assert tag.dtype.name == "LONG"
        at = tag.valueoffset
    data = bytearray(path.read_bytes())
    data[at : at + 4] = struct.pack("<I", 3 * 10**9)
    path.write_bytes(data)
    frames = read(path, lazy=True)
    np.testing.assert_array_equal(frames[4].values, movie[4])
    with pytest.raises(DataError, match="truncated or damaged"):
        _ = frames[5].values
