"""The losses of a tiny run of each model, held from change to change.

Compiled with and without optimizations they agree to 2 parts in ten million after 24
steps. The tolerance, under a nat, leaves room for other versions of JAX and other
processors. A change that means to move them writes new ones

    python -m tests.golden.test_golden

and says so in the changelog.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxrvae.estimator import RVAE
from jaxrvae.simulate import simulate

FILE = Path(__file__).with_name("losses.json")
MODELS = {
    "steerable": {"pose": ("rotation",)},
    "affine": {"decoder": "affine"},
}


def losses(name):
    patches = simulate("glyphs", seed=5, num_images=120, size=16, shift=0.02)
    model = RVAE(hidden_dim=16, num_turns=4, seed=3, **MODELS[name])
    model.fit(patches, epochs=4, batch_size=20, progress=False)
    return model.history["loss"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_losses_are_those_of_before(name):
    np.testing.assert_allclose(
        losses(name), json.loads(FILE.read_text())[name], rtol=2e-3
    )


if __name__ == "__main__":
    found = {name: losses(name) for name in MODELS}
    FILE.write_text(json.dumps(found, indent=1) + "\n")
