"""How far decoded images are known: by the decoder's last layer, or by an ensemble.

The last layer's weights enter the Gaussian likelihood in squares alone: given contents
and poses their posterior is a normal, the same for every coefficient of the image, of
precision `sum h h' / noise^2 + 1 / prior^2` over the patches' last hidden units h.

Source: Bishop 2006, Pattern Recognition and Machine Learning, 3.3; Kristiadi, Hein &
Hennig 2020, arXiv:2002.10118 (why the last layer alone).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._checks import positive
from jaxrvae._typing import Array, Float, ndarray
from jaxrvae.bayes.given import Given, given
from jaxrvae.geometry.grid import pixel_grid

CHUNK = 256


@dataclasses.dataclass(frozen=True, eq=False)
class LastLayer:
    """The posterior of the decoder's last layer.

    Attributes:
        covariance: (h, h) of one coefficient's weights, of the last hidden units and
            of the constant.
        given: The model.
    """

    covariance: ndarray
    given: Given

    def coefs_std(self, content: Float[ndarray, "n latent"]) -> Float[ndarray, " n"]:
        """Standard deviation of every coefficient of the canonical image."""
        units = _units(self.given.networks, jnp.asarray(content, jnp.float32))
        square = jnp.einsum("nh,hk,nk->n", units, jnp.asarray(self.covariance), units)
        return np.sqrt(np.asarray(square))

    def image_std(
        self, content: Float[ndarray, "n latent"]
    ) -> Float[ndarray, "n row column channel"]:
        """Of every pixel of the image decoded at pose zero, in the images' units."""
        model = self.given.model
        height, width, channels = model.shape
        values = model.basis.evaluate(pixel_grid(height, width).reshape(-1, 2))
        zonal = np.array(model.basis.orders) == 0
        mask = np.concatenate([np.ones_like(zonal), ~zonal])
        shape = np.sqrt(np.square(np.asarray(values))[:, mask].sum(1))
        shape = shape.reshape(1, height, width, 1) * np.asarray(model.scale)
        std = self.coefs_std(content).reshape(-1, 1, 1, 1)
        return (std * shape).astype(np.float32)

    def draw(self, key: Array) -> Any:
        """The model's weights with a last layer drawn from its posterior."""
        networks = self.given.networks
        root = jnp.linalg.cholesky(jnp.asarray(self.covariance, jnp.float32))
        decoder = networks.decoder
        shape = decoder.out.kernel[...].shape
        off = root @ jax.random.normal(key, (shape[0] + 1, shape[1]))
        decoder.out.kernel[...] = decoder.out.kernel[...] + off[:-1]
        decoder.mean[...] = decoder.mean[...] + off[-1] / decoder.mean_gain
        return nnx.split(networks, nnx.Param)[1]


def last_layer(model: Any, patches: Any, prior_std: float = 1.0) -> LastLayer:
    """The posterior of the decoder's last layer, given what it was trained on.

    Contents and poses are taken as known, so that this is the least that images can be
    unsure; `member_std` has no such limit.

    Args:
        model: A fitted RVAE with the steerable decoder and Gaussian noise.
        patches: Those that it was fitted on.
        prior_std: Of a weight.
    """
    positive("prior_std", prior_std)
    own = given(model, patches, "last_layer")
    content = own.fitted.encode({"images": own.images})["content"]
    size = own.fitted.config.hidden_dim + 1
    precision = np.eye(size) / prior_std**2
    variance = float(own.model.noise(own.networks)) ** 2
    for start in range(0, len(content), CHUNK):
        units = np.asarray(_units(own.networks, content[start : start + CHUNK]))
        precision += units.T.astype(np.float64) @ units / variance
    return LastLayer(np.linalg.inv(precision), own)


def _units(networks: Any, content: Any) -> Float[Array, "n hidden"]:
    """The decoder's last hidden units, and a constant."""
    decoder = networks.decoder
    units = nnx.tanh(decoder.hidden(nnx.tanh(decoder.lift(jnp.asarray(content)))))
    return jnp.concatenate([units, jnp.ones((len(units), 1))], axis=1)


def member_std(model: Any, patches: Any) -> Float[ndarray, "n row column channel"]:
    """Spread of what an ensemble's members reconstruct, in the images' units.

    Args:
        model: An RVAE fitted with `seeds` of two at least.
    """
    members = getattr(model.ensemble, "members", ())
    if len(members) < 2:
        raise ValueError(
            "member_std needs an ensemble: fit(patches, seeds=8); got one model."
        )
    images = members[0].images_of(patches)
    made = []
    for member in members:
        found = member.encode({"images": images})
        label = found["class_probabilities"].argmax(1)
        inputs = member.known.inputs(found["content"], label, None)
        made.append(
            member.decode(inputs, found["angle"], found["shift"], found["scale"])
        )
    return np.std(np.stack(made), axis=0, ddof=1)
