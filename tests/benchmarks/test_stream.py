import numpy as np

from benchmarks import stream


def test_files_hold_so_many_different_images(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "AT_ONCE", 16)
    stream.make(tmp_path / "images.npy", 40)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert images.shape == (40, stream.SIZE, stream.SIZE)
    assert len(np.unique(images[:, 20, 20])) == 40
