"""A training epoch on several devices: the images of a batch, or an ensemble's members.

Two ways to the same result. "jit": one program over a mesh; the compiler splits what is
split (the batch, or the members) and sums gradients over the devices. Draws are those
of one device. "pmap": the same program on every device, each with its part of the batch
and a key of its own, gradients averaged by hand.

What lies on the devices is replicated but for the members' weights, so that the images
of a data set fit on each device, or are read from the host (`jaxrvae.data`).
"""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxrvae._typing import Array, PRNGKey
from jaxrvae.config import TrainingConfig

AXIS = "device"


@dataclasses.dataclass(frozen=True)
class Spread:
    """How an epoch is spread over devices.

    Attributes:
        devices: One or more.
        way: "jit" or "pmap".
        members: Whether an ensemble's members are split, and not the batch.
    """

    devices: tuple[Any, ...]
    way: str = "jit"
    members: bool = False

    @property
    def alone(self) -> bool:
        """Whether there is nothing to spread."""
        return len(self.devices) == 1

    @property
    def mapped(self) -> bool:
        """Whether every device runs the program on its own."""
        return self.way == "pmap" and not self.alone

    def sharding(self, *names: str | None) -> NamedSharding:
        """Of arrays whose axes are split so; without names, of copies on each."""
        mesh = Mesh(np.array(self.devices), (AXIS,), axis_types=(AxisType.Auto,))
        return NamedSharding(mesh, PartitionSpec(*names))

    def placed(self, values: Any, split: bool = False) -> Any:
        """A pytree of arrays on the devices; split along their first axes, or whole."""
        if self.alone or self.mapped:
            return values
        return _put(values, self.sharding(*((AXIS,) if split else ())))

    def gathered(self, values: Any) -> Any:
        """A pytree of arrays on the first device alone, wherever their parts lie."""
        if self.alone or self.mapped:
            return values

        def whole(leaf: Any) -> Array:
            if not leaf.is_fully_addressable and not leaf.is_fully_replicated:
                leaf = multihost_utils.process_allgather(leaf, tiled=True)
            return jnp.asarray(np.asarray(leaf))

        return jax.tree.map(whole, values)

    @property
    def leads(self) -> bool:
        """Whether this process is the one, or the first, that speaks and writes."""
        return jax.process_index() == 0

    def agreed(self, flag: bool) -> bool:
        """What the first process says."""
        if jax.process_count() == 1:
            return flag
        return bool(multihost_utils.broadcast_one_to_all(np.array(flag)))

    def shared(self, state: Any, history: list[Any]) -> tuple[Any, list[Any]]:
        """What the first process restored, arrays and rows of numbers, for all."""
        if jax.process_count() == 1:
            return state, history
        text = np.frombuffer(json.dumps(history).encode(), np.uint8)
        size = int(multihost_utils.broadcast_one_to_all(np.array(len(text))))
        row = np.resize(text, size) if self.leads else np.zeros(size, np.uint8)
        state, row = multihost_utils.broadcast_one_to_all((state, row))
        return state, json.loads(np.asarray(row, np.uint8).tobytes().decode())

    def share(self, batch_size: int) -> int:
        """Images of a batch on one device."""
        return batch_size // (1 if self.members else len(self.devices))

    def own_rows(self, batch_size: int) -> slice:
        """Of a batch's images, those that this process's devices see."""
        if self.alone or self.mapped or self.members:
            return slice(0, batch_size)
        parts = self.sharding(AXIS).addressable_devices_indices_map((batch_size,))
        ends = [part.indices(batch_size) for (part,) in filter(None, parts.values())]
        return slice(min(end[0] for end in ends), max(end[1] for end in ends))

    def placed_rows(self, rows: Any, batch_size: int) -> Any:
        """A pytree on the devices, each its part of a batch.

        Args:
            rows: (steps, own rows of a batch, ...).
        """
        if self.alone or self.mapped or self.members:
            return self.placed(rows)
        where = self.sharding(None, AXIS)

        def whole(leaf: Any) -> Array:
            shape = len(leaf), batch_size, *leaf.shape[2:]
            return jax.make_array_from_process_local_data(where, leaf, shape)

        return jax.tree.map(whole, rows)

    def own_part(self, rows: Any) -> Any:
        """Of a batch's images (or their numbers), those that this device sees."""
        if self.alone or self.members:
            return rows
        if self.mapped:
            number, own = len(self.devices), jax.lax.axis_index(AXIS)
            return jax.tree.map(
                lambda leaf: leaf.reshape(number, -1, *leaf.shape[1:])[own], rows
            )
        return jax.lax.with_sharding_constraint(rows, self.sharding(AXIS))

    def own_key(self, key: PRNGKey) -> PRNGKey:
        """What this device draws with."""
        if not self.mapped:
            return key
        return jax.random.fold_in(key, jax.lax.axis_index(AXIS))

    def joined(self, values: Any) -> Any:
        """Means over the devices of what each found of its part."""
        return jax.lax.pmean(values, AXIS) if self.mapped else values

    def compiled(self, epoch: Any, *arguments: Any) -> Any:
        """The program of an epoch (state, features, begun, key), ready to run."""
        if not self.mapped:
            return jax.jit(epoch).lower(*arguments).compile()
        number = len(self.devices)
        everywhere = jax.pmap(
            lambda _, *inputs: epoch(*inputs),
            axis_name=AXIS,
            in_axes=(0, None, None, None, None),  # pmap splits something, or nothing
            out_axes=None,
            devices=self.devices,
        )
        program = everywhere.lower(np.arange(number), *arguments).compile()
        return _Mapped(program, number)


@dataclasses.dataclass(frozen=True)
class _Mapped:
    """A program of `pmap` that is told every device's number."""

    program: Any
    number: int

    def __call__(self, *inputs: Any) -> Any:
        return self.program(np.arange(self.number), *inputs)

    def memory_analysis(self) -> Any:
        return self.program.memory_analysis()


def _put(values: Any, where: NamedSharding) -> Any:
    if jax.process_count() == 1:
        return jax.device_put(values, where)
    return jax.tree.map(lambda leaf: _own_parts(leaf, where), values)


def _own_parts(leaf: Any, where: NamedSharding) -> Array:
    """What all processes hold alike, as one array of which each has its parts."""
    if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
        data = _own_parts(jax.random.key_data(leaf), where)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    held = np.asarray(leaf)
    return jax.make_array_from_callback(held.shape, where, lambda part: held[part])


def spread_over(config: TrainingConfig, batch_size: int, members: int | None) -> Spread:
    """The first so many devices of the machine (all: None), checked.

    Args:
        batch_size: Of the training; less than the config's where images are few.

    Raises:
        ValueError: There are not so many, or they do not divide the batch (or, of an
            ensemble, its members).
    """
    there = jax.devices()
    number = len(there) if config.devices is None else config.devices
    if jax.process_count() > 1 and number != len(there):
        raise ValueError(
            f"devices={number} of {len(there)} in {jax.process_count()} processes; they"
            " train on all. Take devices=None."
        )
    if number > len(there):
        raise ValueError(
            f"devices={number}; JAX sees {len(there)} ({there[0].platform}). Ask for no"
            " more, or start JAX with more of them."
        )
    several = members is not None or jax.process_count() > 1
    if several and config.parallel == "pmap" and number > 1:
        raise ValueError(
            'an ensemble, and several processes, are spread by parallel="jit" alone.'
        )
    parts = (config.accumulate or 1) * (1 if members else number)
    _divides("batch_size", batch_size, parts, f"{parts} devices times accumulate")
    if members is not None:
        _divides("seeds", members, number, f"{number} devices")
    return Spread(tuple(there[:number]), config.parallel, members is not None)


def _divides(name: str, value: int, parts: int, what: str) -> None:
    if value % parts:
        near = max(round(value / parts), 1) * parts
        raise ValueError(f"{what} do not divide {name}={value}. Take {name}={near}.")


def accumulated(slope: Any, parts: int) -> Any:
    """A function (params, rows, key) as `slope`, a mean over parts of the rows.

    Activations of one part are held at a time.
    """
    if parts == 1:
        return slope

    def mean(params: Any, rows: Any, key: PRNGKey) -> Any:
        def add(total: Any, inputs: tuple[Any, PRNGKey]) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, slope(params, *inputs)), None

        def split(leaf: Array) -> Array:
            return leaf.reshape(-1, parts, *leaf.shape[1:]).swapaxes(0, 1)

        pieces = jax.tree.map(split, rows), jax.random.split(key, parts)
        first = jax.tree.map(lambda leaf: leaf[0], pieces)
        shapes = jax.eval_shape(slope, params, *first)
        none = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        total, _ = jax.lax.scan(add, none, pieces)
        return jax.tree.map(lambda leaf: leaf / parts, total)

    return mean
