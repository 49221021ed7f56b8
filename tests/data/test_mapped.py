import numpy as np
import psutil
import pytest

from jaxrvae.data.mapped import is_on_disk, let_go


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
