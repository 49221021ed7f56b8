import numpy as np
import pytest

from benchmarks import multislice
from jaxrvae.simulate.elements import brightness


def test_our_own_images_agree_with_themselves():
    images = {
        name: multislice.our_image(sum(map(brightness, numbers)), 40, 0.0125).tolist()
        for name, numbers in multislice.NUMBERS.items()
    }
    measured = {"images": images, "step": 0.0125}
    for row in multislice.compare(measured):
        assert row["ours / abTEM"] == pytest.approx(1, rel=1e-3)
        assert row["correlation"] == pytest.approx(1)
        assert row["peak / sum, ours"] == pytest.approx(row["peak / sum, abTEM"])
    assert multislice.exponent(measured) == pytest.approx(1.7, abs=1e-3)
    image = np.array(images["Mo"])
    assert np.unravel_index(image.argmax(), image.shape) == (20, 20)
