"""What the images alone say of their angles: a table that priors are combined with.

Row by row log p(image | angle) on an even grid, content and shift integrated out, the
content by importance sampling from its posterior. Angles are those that `encode`
reports, free of the decoder's own turns.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.scipy.special import logsumexp

from jaxrvae._checks import whole
from jaxrvae._typing import Array, Complex, Float, PRNGKey, ndarray
from jaxrvae.bayes.given import given
from jaxrvae.geometry.circle import angle_grid
from jaxrvae.models.marginal import explain
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.models.surface import between
from jaxrvae.priors.content import at_medians, log_normal, log_prior

CHUNK = 32
FINER = 3  # places between those of the model's grid, along either axis


@dataclasses.dataclass(frozen=True, eq=False)
class AngleTable:
    """Log probabilities over an even grid of angles, a row a patch.

    Attributes:
        angles: (a,) radians, ascending in [-pi, pi).
        log_prob: (n, a) of the cells of the grid: each row's exponential sums to 1.
            Before any prior it is the likelihood, with a uniform one.
        symmetry: Angles are meant modulo 2 pi / symmetry.
    """

    angles: ndarray
    log_prob: ndarray
    symmetry: int = 1

    def __len__(self) -> int:
        return len(self.log_prob)

    @property
    def prob(self) -> Float[ndarray, "n angle"]:
        """Of the cells."""
        return np.exp(self.log_prob)

    @property
    def moment(self) -> Complex[ndarray, " n"]:
        """The mean of exp(i symmetry angle), complex."""
        return self.prob @ np.exp(1j * self.symmetry * self.angles)

    @property
    def angle(self) -> Float[ndarray, " n"]:
        """Its direction: the mean angle, radians, in [-pi/symmetry, pi/symmetry)."""
        return np.angle(self.moment) / self.symmetry

    @property
    def angle_std(self) -> Float[ndarray, " n"]:
        """Of a wrapped normal with that moment's length.

        Source: Mardia & Jupp 2000, Directional Statistics, eq. 2.3.9.
        """
        length = np.clip(abs(self.moment), 1e-30, 1.0)
        return np.sqrt(-2 * np.log(length)) / self.symmetry

    def folded(self, symmetry: int) -> "AngleTable":
        """The same of the angle modulo 2 pi / symmetry, on the first part of the grid.

        Args:
            symmetry: A divisor of the number of angles.
        """
        whole("symmetry", symmetry, 1)
        number = len(self.angles)
        if number % symmetry:
            raise ValueError(
                f"symmetry={symmetry} does not divide the {number} angles of the grid."
                f" Take num_angles={number // symmetry * symmetry}."
            )
        parts = self.log_prob.reshape(len(self), symmetry, -1)
        own = np.logaddexp.reduce(parts, axis=1)
        angles = self.angles[: number // symmetry]
        return AngleTable(angles, own, self.symmetry * symmetry)


def angle_table(
    model: Any,
    patches: Any,
    num_angles: int = 180,
    num_samples: int = 8,
    symmetry: int = 1,
) -> AngleTable:
    """What every patch alone says of its angle.

    Args:
        model: A fitted RVAE with the steerable decoder and Gaussian noise.
        num_angles: Of the grid; a multiple of 4 and of the symmetry.
        num_samples: Of the content.
        symmetry: Order of the structures' rotational symmetry.

    >>> uniform = AngleTable(angle_grid(4), np.log(np.full((1, 4), 0.25)))
    >>> bool(uniform.angle_std[0] > 2)
    True
    """
    whole("num_angles", num_angles, 4)
    whole("num_samples", num_samples, 1)
    if num_angles % 4:
        raise ValueError(f"num_angles must be a multiple of 4; got {num_angles}.")
    own = given(model, patches, "the angles' table")
    found = np.empty((len(own.images), num_angles), np.float32)
    for rows, images in own.chunks(CHUNK):
        part = _table(*own.parts, images, jax.random.key(0), num_samples, num_angles)
        found[rows] = np.asarray(part)[: rows.stop - rows.start]
    found -= np.logaddexp.reduce(found, axis=1, keepdims=True)
    table = AngleTable(angle_grid(num_angles), found)
    return table.folded(symmetry) if symmetry > 1 else table


@jax.jit(static_argnums=(1, 7, 8))
def _table(
    model: SteerableModel,
    graph: Any,
    params: Any,
    projection: dict[str, Array],
    gauge: Any,
    images: Float[Array, "batch height width channel"],
    key: PRNGKey,
    num_samples: int,
    num_angles: int,
) -> Float[Array, "batch angle"]:
    networks: Any = nnx.merge(graph, params)
    features = model.expand(projection, model.compress(projection, images))
    query = model.query(networks, features, fine=True)
    mean, log_std = query.content, query.content_log_std
    prior = at_medians(networks.prior)
    flat = jnp.zeros(model.num_angles)
    angles = jnp.asarray(angle_grid(num_angles), jnp.float32)

    def one(key: PRNGKey) -> Float[Array, "batch angle"]:
        content = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        canonical = model.canonical(networks, content)
        harmonics = model.harmonics(networks, projection, features, canonical, flat)
        harmonics = _at_more_places(model, harmonics)
        hidden, _ = model.drift(networks, projection, gauge, content)
        orders = jnp.arange(harmonics.shape[-1] // 2)
        phase = (angles - hidden[:, None])[:, :, None] * orders
        waves = jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)
        height = logsumexp(jnp.einsum("bph,bah->bpa", harmonics, waves), axis=1)
        height -= logsumexp(height, axis=-1, keepdims=True)
        weight = explain(model, networks, projection, features, canonical, flat)
        weight += log_prior(prior, content, lambda x: (x, x))
        weight -= log_normal(content, mean, log_std)
        return height + weight[:, None]

    return logsumexp(jax.lax.map(one, jax.random.split(key, num_samples)), axis=0)


def _at_more_places(
    model: SteerableModel, harmonics: Float[Array, "batch place harmonics"]
) -> Float[Array, "batch finer harmonics"]:
    """Between the grid's places too: shifts may be known better than these lie."""
    number = len(model.ticks)
    if number == 1:
        return harmonics
    phase = 2 * np.pi * model.max_frequency * (model.ticks[1] - model.ticks[0])
    places = jnp.linspace(0.0, number - 1.0, FINER * (number - 1) + 1)
    weights = between(places, number, phase)[:, 0]
    batch, _, orders = harmonics.shape
    square = harmonics.reshape(batch, number, number, orders)
    fine = jnp.einsum("yr,xc,brch->byxh", weights, weights, square)
    return fine.reshape(batch, -1, orders)
