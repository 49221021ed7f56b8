"""Images that stay where they are, on disk, and are read while training goes on."""

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxrvae._typing import Int, ndarray
from jaxrvae.data.mapped import read_rows

PIECE_BYTES = 2**26  # read at once; two pieces are held
STREAM_BYTES = 2**30  # of images on disk, from which on they are not all read at once


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """Arrays with the images along their first axes, and what a loss reads of them.

    Attributes:
        given: By name; mapped files as well as arrays in memory.
        prepare: A batch of them to a batch of features; runs on the device.
    """

    given: dict[str, ndarray]
    prepare: Callable[[dict[str, Any]], dict[str, Any]]

    def __len__(self) -> int:
        return len(next(iter(self.given.values())))

    def piece_steps(self, steps: int, batch_size: int) -> int:
        """Of an epoch's steps, how many are read at once."""
        row = sum(values[:1].nbytes for values in self.given.values())
        pieces = -(-steps * batch_size * row // PIECE_BYTES)
        return max(steps // pieces, 1)

    def pieces(
        self, order: Int[ndarray, "steps batch"], size: int, first: int = 0
    ) -> Iterator[dict[str, ndarray]]:
        """(size, batch, ...) of every array in turn, read one piece ahead."""
        parts = order.reshape(-1, size, order.shape[1])[first:]
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._read, parts[0])
            for after in [*parts[1:], None]:
                piece = coming.result()
                if after is not None:
                    coming = reader.submit(self._read, after)
                yield piece

    def _read(self, index: Int[ndarray, "size batch"]) -> dict[str, ndarray]:
        return {name: read_rows(values, index) for name, values in self.given.items()}


def split_keys(
    key: Any, steps: int, num_images: int, batch_size: int
) -> tuple[Int[ndarray, "steps batch"], Any]:
    """The order of an epoch's images, and a key for every step.

    The same as an epoch draws whose images are on the device. Members of an ensemble
    (keys along a first axis) share the first one's order: images are read once.
    """
    split = jax.random.split if key.ndim == 0 else jax.vmap(jax.random.split)
    both = split(key)
    order_key, noise_key = both[..., 0], both[..., 1]
    first = order_key if key.ndim == 0 else order_key[0]
    order = np.asarray(jax.random.permutation(first, num_images))
    many = jax.vmap(lambda one: jax.random.split(one, steps))
    keys = jax.random.split(noise_key, steps) if key.ndim == 0 else many(noise_key)
    return order[: steps * batch_size].reshape(steps, batch_size), keys
