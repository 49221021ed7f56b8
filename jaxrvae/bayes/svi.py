"""The model as a NumPyro program and its guide, and training them by NumPyro's SVI.

Program and guide hold the same networks, by `numpyro.contrib.module.nnx_module`; angle,
shift and class are summed over inside the likelihood, exactly, as everywhere. They
compose with all that NumPyro has: handlers, other guides, other optimizers.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from flax import nnx
from numpyro import handlers
from numpyro.contrib.module import nnx_module
from numpyro.infer import SVI, TraceMeanField_ELBO

from jaxrvae._typing import Array
from jaxrvae.bayes.given import Given, given
from jaxrvae.config import TrainingConfig
from jaxrvae.data.known import learn_known
from jaxrvae.models.fitted import FittedModel, fresh_model
from jaxrvae.models.marginal import explain
from jaxrvae.models.pose_prior import grid_log_prior
from jaxrvae.priors.content import log_prior
from jaxrvae.training.loop import make_optimizer, plan

Batch = dict[str, Array]
Program = Callable[[Batch], None]


class _Networks(nnx.Module):
    """The networks, called by what they are wanted for: `nnx_module` calls a module."""

    def __init__(self, networks: Any, uses: tuple[tuple[str, Callable[..., Any]], ...]):
        self.networks, self.uses = networks, uses

    def __call__(self, use: str, *inputs: Any) -> Any:
        """What this use of them makes of the inputs."""
        return dict(self.uses)[use](self.networks, *inputs)


def numpyro_program(model: Any, patches: Any) -> tuple[Program, Program]:
    """A NumPyro model and its guide, at the model's weights, for batches of features.

    Both take what `FittedModel.features` gives for images, and register the weights as
    "networks$params". Sites: "content" in the plate "patches"; the factor "image" is
    log p(image | content), the pose integrated out. Scaled to nats per patch.

    Args:
        model: A fitted RVAE with the steerable decoder and Gaussian noise.
        patches: As many as there are in all.
    """
    own = given(model, patches, "numpyro_program")
    return _program(own.fitted, len(own.images))


def _program(fitted: FittedModel, number: int) -> tuple[Program, Program]:
    model, projection = Given(fitted, np.empty(0)).model, fitted.projection
    networks = nnx.merge(fitted.graph, fitted.params)
    default = Given(fitted, np.empty(0)).angle_priors[0]
    content_dim = fitted.config.content_dim

    def explained(networks: Any, batch: Batch, content: Array) -> Array:
        density = grid_log_prior(model, networks.prior, default, content)
        canonical = model.canonical(networks, content)
        return explain(model, networks, projection, batch, canonical, density)

    def density(networks: Any, content: Array) -> Array:
        return log_prior(networks.prior, content, lambda x: (x, x))

    def queried(networks: Any, batch: Batch) -> tuple[Array, Array]:
        query = model.query(networks, batch)
        return query.content, jnp.exp(query.content_log_std)

    uses = ("image", explained), ("prior", density), ("query", queried)
    module = _Networks(networks, uses)

    def read(batch: Batch) -> Batch:
        return batch if "coefs" in batch else model.expand(projection, batch)

    def program(batch: Batch) -> None:
        """Content, then the image."""
        net, batch = nnx_module("networks", module), read(batch)
        size = len(batch["coefs"])
        plate = numpyro.plate("patches", number, subsample_size=size)
        with handlers.scale(scale=1 / number), plate:
            if networks.prior is None:
                unit = dist.Normal(jnp.zeros(content_dim), 1.0).to_event(1)
                content = numpyro.sample("content", unit)
            else:
                support = dist.constraints.real_vector
                flat = dist.ImproperUniform(support, (), (content_dim,))
                content = numpyro.sample("content", flat)
                numpyro.factor("prior", net("prior", content))
            numpyro.factor("image", net("image", batch, content))

    def guide(batch: Batch) -> None:
        """The encoder's posterior of the content."""
        net, batch = nnx_module("networks", module), read(batch)
        mean, std = net("query", batch)
        plate = numpyro.plate("patches", number, subsample_size=len(mean))
        with handlers.scale(scale=1 / number), plate:
            numpyro.sample("content", dist.Normal(mean, std).to_event(1))

    return program, guide


def fit_svi(
    model: Any,
    patches: Any,
    epochs: int | None = None,
    batch_size: int = 100,
    learning_rate: float = 2e-3,
) -> Any:
    """Train an RVAE by NumPyro's SVI instead of `fit`, to the same bound.

    Args:
        model: Not yet fitted, with the steerable decoder and Gaussian noise, and
            without a prior whose sites patches share.
        epochs, batch_size, learning_rate: As `RVAE.fit` has them.

    Returns:
        The model, fitted; `history` has epoch, step, loss (nats per image) and
        seconds, the first one's with compiling.
    """
    import pandas as pd

    from jaxrvae.data.batches import as_images, check_images

    config, images = model.config, as_images(patches)
    check_images(images, config.likelihood_kind, config.rotated)
    known = learn_known(1, None, len(images), None)
    fresh = fresh_model(config, known, images)
    given(fresh, images, "fit_svi")
    prior = nnx.merge(fresh.graph, fresh.params).prior
    if getattr(prior, "sites", None) is not None and prior.sites.shared:
        raise ValueError(
            f"fit_svi: patches share site '{prior.sites.shared[0]}'; take RVAE.fit."
        )
    program, guide = _program(fresh, len(images))
    training = TrainingConfig(
        epochs=epochs, batch_size=batch_size, learning_rate=learning_rate
    )
    epochs, steps, batch_size = plan(training, len(images))
    rate = make_optimizer(learning_rate, epochs * steps)
    svi = SVI(
        program, guide, numpyro.optim.optax_to_numpyro(rate), TraceMeanField_ELBO()
    )
    features = {n: jnp.asarray(v) for n, v in fresh.features(images).items()}

    @jax.jit
    def epoch(state: Any, features: Batch, key: Array) -> tuple[Any, Array]:
        order = jax.random.permutation(key, len(images))[: steps * batch_size]

        def step(state: Any, rows: Array) -> tuple[Any, Array]:
            return svi.update(state, {n: v[rows] for n, v in features.items()})

        state, losses = jax.lax.scan(step, state, order.reshape(steps, batch_size))
        return state, losses.mean()

    first = {name: values[:batch_size] for name, values in features.items()}
    state = svi.init(jax.random.key(config.seed), first)
    history = []
    for number in range(epochs):
        key = jax.random.fold_in(jax.random.key(config.seed), number)
        start = time.perf_counter()
        state, loss = epoch(state, features, key)
        row = {"epoch": number, "step": (number + 1) * steps, "loss": float(loss)}
        history.append(row | {"seconds": time.perf_counter() - start})
    found = svi.get_params(state)["networks$params"]["networks"]
    params = fresh.params
    nnx.replace_by_pure_dict(params, found)
    one = FittedModel(**{**vars(fresh), "params": params})
    model.keep([one.settled({"images": images})], False, {"images": images})
    model.history = pd.DataFrame(history)
    return model
