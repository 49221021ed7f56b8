import pytest

import jaxrvae as jr


@pytest.fixture(scope="package")
def glyphs():
    return jr.simulate("glyphs", seed=0, num_images=600, size=24, noise=0.3)


@pytest.fixture(scope="package")
def model(glyphs):
    """Trained long enough to know the pose."""
    found = jr.RVAE(hidden_dim=64)
    return found.fit(glyphs, epochs=120, batch_size=60, progress=False)
