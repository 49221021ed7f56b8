"""Training with hidden layers in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxrvae as jr
from jaxrvae.config import ObjectiveConfig
from jaxrvae.networks.precision import lower
from jaxrvae.objectives.build import make_loss

IMAGES = jr.simulate("glyphs", seed=0, num_images=100, size=16).values
CONV = {"decoder": "affine", "encoder": "convolutional"}
CHOICES = [
    {},
    pytest.param(CONV, marks=pytest.mark.very_slow),
    pytest.param({"decoder": "coordinate"}, marks=pytest.mark.very_slow),
]


@pytest.fixture(scope="module", params=CHOICES, ids=str)
def fitted(request):
    model = jr.RVAE(hidden_dim=32, num_turns=4, **request.param)
    return model.fit(IMAGES, epochs=1, progress=False).fitted


def slopes(fitted, precision):
    """The loss and its gradient at the fitted weights, and the program's text."""
    loss = make_loss(fitted, True, ObjectiveConfig(), precision=precision)
    batch = {k: jnp.asarray(v) for k, v in fitted.features(IMAGES[..., None]).items()}
    inputs = fitted.params, batch, jnp.array(0.5), jax.random.key(0)
    program = jax.jit(jax.value_and_grad(lambda *given: loss(*given)[0]))
    return (*program(*inputs), program.lower(*inputs).as_text())


def test_parameters_and_gradients_stay_float32_and_lie_near(fitted):
    value, exact, plain = slopes(fitted, "float32")
    near_value, near, text = slopes(fitted, "bfloat16")
    assert "bf16" not in plain
    assert "bf16" in text
    assert {leaf.dtype for leaf in jax.tree.leaves(near)} == {jnp.dtype("float32")}
    # A part in 256 of every unit, of which the bound is a difference of large sums.
    assert abs(near_value - value) < 0.02 * abs(value)
    flat, near = (jax.flatten_util.ravel_pytree(tree)[0] for tree in (exact, near))
    cosine = flat @ near / jnp.linalg.norm(flat) / jnp.linalg.norm(near)
    assert cosine > 0.95


def test_layers_that_read_places_or_make_images_are_left(fitted):
    networks = nnx.merge(fitted.graph, fitted.params)
    lower(networks)
    decoder = networks.decoder
    assert decoder.lift.dtype is None
    assert decoder.out.dtype is None
    first, *_ = (m for path, m in nnx.iter_modules(decoder) if "hidden" in path)
    layer = first if isinstance(first, nnx.Linear) else first[0]
    assert layer.dtype == jnp.bfloat16


def test_a_model_learns_in_it():
    model = jr.RVAE(hidden_dim=32, num_turns=4, pose=("rotation",))
    loss = model.fit(IMAGES, epochs=20, precision="bfloat16", progress=False).history
    exact = jr.RVAE(hidden_dim=32, num_turns=4, pose=("rotation",))
    wanted = exact.fit(IMAGES, epochs=20, progress=False).history
    assert np.isfinite(loss["loss"]).all()
    gained = wanted["loss"].iloc[0] - wanted["loss"].iloc[-1]
    assert abs(loss["loss"].iloc[-1] - wanted["loss"].iloc[-1]) < 0.1 * gained
    with pytest.raises(ValueError, match="precision"):
        model.fit(IMAGES, epochs=1, precision="half")
