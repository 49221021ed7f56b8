import numpy as np
import psutil
import pytest

from jaxrvae._checks import RunError
from jaxrvae.data.mapped import is_on_disk, let_go, read_rows


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "values.npy", np.arange(10_000_000, dtype=np.float32))
    return tmp_path / "values.npy"


def test_views_of_a_mapped_file_are_on_disk(file):
    there = np.load(file, mmap_mode="r")
    assert is_on_disk(there)
    assert is_on_disk(np.ascontiguousarray(there, np.float32)[3:, None])
    assert not is_on_disk(there[[1, 2]])
    assert not is_on_disk(np.zeros(3)[1:])


def test_pages_leave_memory_and_values_stay(file):
    there = np.load(file, mmap_mode="r")
    own = psutil.Process()
    total = there.sum()
    before = own.memory_info().rss
    let_go(there[5:])
    assert before - own.memory_info().rss > 0.9 * there.nbytes
    assert there.sum() == total


def test_what_was_written_on_a_copy_is_kept(file):
    there = np.load(file, mmap_mode="c")
    there[7] = -1.0
    let_go(there)
    kept = there[5:]
    kept.flags.writeable = False
    let_go(kept)
    assert there[7] == kept[2] == -1.0


@pytest.mark.parametrize("mode", ["r", "c", None])
def test_rows_are_those_of_the_index(tmp_path, mode):
    values = np.random.default_rng(0).normal(size=(50, 3, 4)).astype(np.float32)
    np.save(tmp_path / "rows.npy", values)
    there = np.load(tmp_path / "rows.npy", mmap_mode=mode)
    index = np.random.default_rng(1).integers(40, size=(5, 6))
    np.testing.assert_array_equal(read_rows(there, index), values[index])
    view = np.ascontiguousarray(there[7:, :, :, None], np.float32)
    np.testing.assert_array_equal(read_rows(view, index), values[7:][index][..., None])
    turned = there.transpose(1, 0, 2)
    np.testing.assert_array_equal(
        read_rows(turned, np.array([2, 0])), values.transpose(1, 0, 2)[[2, 0]]
    )


def test_a_file_that_was_cut_short_is_said(file):
    there = np.load(file, mmap_mode="r").reshape(1000, -1)
    with file.open("r+b") as held:
        held.truncate(file.stat().st_size // 2)
    with pytest.raises(RunError, match=r"values.npy: expected 40000 bytes"):
        read_rows(there, np.array([3, 999]))
