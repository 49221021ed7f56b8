"""An epoch as compiled programs: one, of images on the device; or one a piece."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrvae._typing import Array, Float, PRNGKey, ndarray
from jaxrvae.training.memory import fewest_parts, room
from jaxrvae.training.sharding import Spread, accumulated
from jaxrvae.training.stream import Stream, split_keys

Params = Any
Loss = Callable[..., tuple[Array, dict[str, Array]]]
Shares = Float[ndarray, "2"]
Step = Callable[[Any, tuple[Any, Array, PRNGKey]], tuple[Any, Any]]


@dataclasses.dataclass(kw_only=True)
class Epochs:
    """What both kinds share: steps by one program for a loss, compiled once.

    Attributes:
        steps: An epoch.
        accumulate: Parts of a batch; None: as few as fit in the device's memory.
        in_turn: Members are trained one after another, each epoch, and not at once: on
            a CPU eight of them take 7 to 7.5 times as long as one, at once 10 times.
        compile_seconds: Of compilations so far.
        knobs: What members differ in beside their seeds, along first axes; handed to
            the loss. `rate` is each one's learning rate over the optimizer's.
    """

    optimizer: optax.GradientTransformation
    steps: int
    batch_size: int
    accumulate: int | None
    spread: Spread
    members: int | None
    in_turn: bool = False
    compile_seconds: float = 0.0
    knobs: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._programs: dict[Loss, Any] = {}

    def _run(
        self, loss: Loss, inputs: tuple[Any, Any, Any, Any], make: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The state and means, of members each its own; inputs as epochs have them."""
        if loss not in self._programs:
            start = time.perf_counter()
            self._programs[loss] = self._compiled(loss, inputs, make)
            self.compile_seconds += time.perf_counter() - start
        state, metrics = self._programs[loss](*inputs)
        metrics = self.spread.gathered(metrics)
        return state, {name: np.asarray(v).tolist() for name, v in metrics.items()}

    def _compiled(
        self, loss: Loss, inputs: tuple[Any, Any, Any, Any], make: Any
    ) -> Any:
        spread = self.spread

        def compiled(parts: int) -> Any:
            program = make(loss, parts)
            if self.members is not None and self.in_turn:
                program = _in_turn(program)
            elif self.members is not None:
                program = jax.vmap(program, (0, None, None, 0))
            return spread.compiled(program, *inputs)

        if self.accumulate is not None:
            return compiled(self.accumulate)
        free = room(jax.local_devices()[0])
        return fewest_parts(
            compiled, spread.share(self.batch_size), free, spread.agreed
        )

    def _scan(
        self,
        loss: Loss,
        parts: int,
        batch_of: Callable[[Any], Any],
        state: Any,
        rows: Any,
        begun: Array,
        own: tuple[Array, Any],
    ) -> Any:
        """The state after the steps, and means over them.

        Args:
            rows: A pytree (steps, batch, ...); of a step's, `batch_of` makes features.
            own: Keys, one a step; and knobs.
        """
        keys, knobs = own
        number = len(keys)
        shares = begun[0] + (begun[1] - begun[0]) * jnp.arange(number) / number
        step = self._make_step(loss, parts, batch_of, knobs)
        state, metrics = jax.lax.scan(step, state, (rows, shares, keys))
        means = jax.tree.map(jnp.mean, metrics)
        return state, {**means, "first_loss": metrics["loss"][0]}

    def _make_step(
        self, loss: Loss, parts: int, batch_of: Callable[[Any], Any], knobs: Any
    ) -> Step:
        spread = self.spread
        turned = () if knobs is None else (knobs,)
        rate = (knobs or {}).get("rate")

        def step(state: Any, inputs: tuple[Any, Array, PRNGKey]) -> tuple[Any, Any]:
            params, optimizer_state = state
            rows, progress, step_key = inputs

            def slopes(params: Any, rows: Any, key: PRNGKey) -> Any:
                both = jax.value_and_grad(loss, has_aux=True)
                return both(params, batch_of(rows), progress, key, *turned)

            own = spread.own_part(rows), spread.own_key(step_key)
            found = accumulated(slopes, parts)(params, *own)
            (value, more), slope = spread.joined(found)
            update = self.optimizer.update
            updates, optimizer_state = update(slope, optimizer_state, params)
            if rate is not None:  # Adam's steps are linear in it
                updates = jax.tree.map(lambda leaf: rate * leaf, updates)
            params = optax.apply_updates(params, updates)
            return (params, optimizer_state), {"loss": value, **more}

        return step


@dataclasses.dataclass(kw_only=True)
class Resident(Epochs):
    """Epochs of images that lie on the device."""

    features: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        self.features = self.spread.placed(self.features)

    def epoch(
        self, loss: Loss, state: Any, begun: Shares, key: Array, first: int = 0
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The state after it, and means over it; `first_loss` is of the state given.

        Args:
            begun: Shares of the training that are over before and after it.
            key: Of the epoch; of every member, in an ensemble.
            first: Piece to begin with; this is one.
        """
        own = self.spread.placed((key, self.knobs), split=self.members is not None)
        inputs = state, self.features, self.spread.placed(begun), own
        yield self._run(loss, inputs, self._make_epoch)

    def _make_epoch(self, loss: Loss, parts: int) -> Callable[..., Any]:
        def epoch(state: Any, features: Any, begun: Array, own: Any) -> Any:
            key, knobs = own

            def gathered(index: Array) -> Any:
                return jax.tree.map(lambda values: values[index], features)

            order_key, noise_key = jax.random.split(key)
            num_images = len(jax.tree.leaves(features)[0])
            order = jax.random.permutation(order_key, num_images)
            rows = order[: self.steps * self.batch_size]
            rows = rows.reshape(self.steps, self.batch_size)
            own = jax.random.split(noise_key, self.steps), knobs
            return self._scan(loss, parts, gathered, state, rows, begun, own)

        return epoch


@dataclasses.dataclass(kw_only=True)
class Streamed(Epochs):
    """Epochs of images that are read piece by piece, one ahead of the device.

    Attributes:
        size: Steps a piece; it divides those of an epoch.
    """

    stream: Stream
    size: int

    def epoch(
        self, loss: Loss, state: Any, begun: Shares, key: Array, first: int = 0
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """As `Resident.epoch` from the piece of that number on, piece by piece."""
        drawn = self.steps, len(self.stream), self.batch_size
        order, keys = split_keys(key, *drawn)
        number = self.steps // self.size
        ends = begun[0] + (begun[1] - begun[0]) * np.arange(number + 1) / number
        ends = ends.astype(np.float32)
        several = self.members is not None
        own_rows = self.spread.own_rows(self.batch_size)
        pieces = self.stream.pieces(order[:, own_rows], self.size, first)
        for piece, rows in enumerate(pieces, first):
            part = slice(piece * self.size, (piece + 1) * self.size)
            own = keys[:, part] if several else keys[part]
            inputs = (
                state,
                self.spread.placed_rows(rows, self.batch_size),
                self.spread.placed(ends[piece : piece + 2]),
                self.spread.placed((own, self.knobs), split=several),
            )
            state, row = self._run(loss, inputs, self._make_piece)
            yield state, row

    def _make_piece(self, loss: Loss, parts: int) -> Callable[..., Any]:
        prepare = self.stream.prepare

        def piece(state: Any, rows: Any, begun: Array, own: Any) -> Any:
            return self._scan(loss, parts, prepare, state, rows, begun, own)

        return piece


def _in_turn(program: Callable[..., Any]) -> Callable[..., Any]:
    """The program of an epoch for members along a first axis, one after another."""

    def all_members(states: Any, features: Any, begun: Array, keys: Any) -> Any:
        def one(own: tuple[Any, Any]) -> Any:
            return program(own[0], features, begun, own[1])

        return jax.lax.map(one, (states, keys))

    return all_members
