"""Training: one compiled scan over the steps of an epoch, data on the device.

The same function runs every epoch, so it is compiled once; long runs have a second,
quicker one for the epochs between. The key of an epoch is
folded from the seed and the epoch's number, so that a run taken up at a checkpoint
draws what it would have drawn.
"""

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrvae._checks import RunError
from jaxrvae._compile import compile_lightly
from jaxrvae._typing import Array, Float, PRNGKey, ndarray
from jaxrvae.config import TrainingConfig
from jaxrvae.training.checkpoint import RunDirectory
from jaxrvae.training.sharding import Spread, accumulated, spread_over

Params = Any
Loss = Callable[[Params, Any, Array, PRNGKey], tuple[Array, dict[str, Array]]]
LEAST_STEPS = 4000
# Shares of the training between which a quicker loss stands in, and the steps of a run
# that is worth compiling it.
QUICKER, LONG = (0.1, 0.9), 2000


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training gives back.

    Attributes:
        history: A row an epoch: epoch, step, loss, its parts, seconds.
        compile_seconds: Of compilations.
    """

    params: Params
    history: list[dict[str, float]]
    compile_seconds: float


class Diverged(RunError):
    """The loss stopped being finite; `fitted` is the last good state."""

    def __init__(self, message: str, fitted: Fitted):
        super().__init__(message)
        self.fitted = fitted


def plan(config: TrainingConfig, num_images: int) -> tuple[int, int, int]:
    """(epochs, steps an epoch, batch size) for so many images."""
    batch_size = min(config.batch_size, num_images)
    steps = num_images // batch_size
    epochs = config.epochs or min(max(math.ceil(LEAST_STEPS / steps), 8), 400)
    return epochs, steps, batch_size


def train(
    loss: Loss,
    params: Params,
    features: Any,
    config: TrainingConfig,
    *,
    quicker: Loss | None = None,
    members: int | None = None,
    run_dir: str | Path | None = None,
    fingerprint: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Fitted:
    """Parameters after all epochs, taken up where the run directory left off.

    Args:
        loss: (params, a batch of the features, share of the training that is over,
            key) to (scalar, its parts).
        quicker: Instead of the loss between the first and the last epochs of long runs.
        features: A pytree of arrays with the images along their first axis.
        members: Of an ensemble, along the parameters' first axis, each with the key of
            its own seed; all are trained by one program, and the history has means.
        run_dir: Where checkpoints go; without it nothing is written.
        fingerprint: What must agree for a checkpoint there to be taken up.

    Raises:
        Diverged: If the loss stops being finite. The last good state is kept.
        ValueError: The config's devices do not go with its batch, or are not there.
    """
    num_images = len(jax.tree.leaves(features)[0])
    epochs, steps, batch_size = plan(config, num_images)
    optimizer = _optimizer(config.learning_rate, epochs * steps)
    start_optimizer = optimizer.init if members is None else jax.vmap(optimizer.init)
    spread = spread_over(config, batch_size, members)
    state = (params, compile_lightly(start_optimizer)(params))
    features = spread.placed(features)
    history: list[dict[str, float]] = []
    with contextlib.ExitStack() as stack:
        run = None
        if run_dir is not None:
            if spread.leads:
                run = stack.enter_context(RunDirectory(run_dir, fingerprint or {}))
                found = run.restore(state)
                if found is not None:
                    _, state, history = found
            state, history = spread.shared(state, history)
        state = spread.placed(state, split=members is not None)
        first = len(history)
        if first >= epochs:
            return Fitted(spread.gathered(state[0]), history, 0.0)
        key, fold = jax.random.key(config.seed), jax.random.fold_in
        if members is not None:
            key = jax.vmap(jax.random.key)(config.seed + jnp.arange(members))
            fold = jax.vmap(fold, (0, None))
        if epochs * steps < LONG:
            quicker = None
        compiled: dict[Loss, Any] = {}
        compile_seconds = 0.0
        show = progress and spread.leads
        bar = stack.enter_context(_progress(epochs, first, show))
        saved = time.perf_counter()
        before = state, len(history)
        for epoch in range(first, epochs):
            shares = _begun(epoch, epochs)
            begun = spread.placed(shares)
            epoch_key = spread.placed(fold(key, epoch), split=members is not None)
            own = loss
            if quicker and QUICKER[0] <= shares[0] and shares[1] <= QUICKER[1]:
                own = quicker
            if own not in compiled:
                start = time.perf_counter()
                sizes = steps, batch_size, config.accumulate
                run_epoch = _make_epoch(own, optimizer, *sizes, spread)
                if members is not None:
                    run_epoch = jax.vmap(run_epoch, (0, None, None, 0))
                inputs = state, features, begun, epoch_key
                compiled[own] = spread.compiled(run_epoch, *inputs)
                compile_seconds += time.perf_counter() - start
            start = time.perf_counter()
            new, metrics = compiled[own](state, features, begun, epoch_key)
            metrics = spread.gathered(metrics)
            row = {name: float(np.mean(value)) for name, value in metrics.items()}
            seconds = time.perf_counter() - start
            started = row.pop("first_loss")
            if not math.isfinite(row["loss"]):
                if not math.isfinite(started):  # the last step before was one too far
                    state, history = before[0], history[: before[1]]
                state = spread.gathered(state)
                if run is not None and history:
                    run.save(len(history) * steps, state, history)
                good = Fitted(state[0], history, compile_seconds)
                raise Diverged(_diverged(epoch, run_dir, history), good)
            before, state = (state, epoch), new
            history.append(
                {"epoch": epoch + 1, "step": (epoch + 1) * steps, **row}
                | {"seconds": seconds}
            )
            bar(f"loss {row['loss']:.2f}")
            late = time.perf_counter() - saved > config.save_seconds
            if run_dir and spread.agreed(late or epoch + 1 == epochs):
                whole = spread.gathered(state)
                if run is not None:
                    run.save((epoch + 1) * steps, whole, history)
                saved = time.perf_counter()
    return Fitted(spread.gathered(state[0]), history, compile_seconds)


def _optimizer(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Adam; the rate rises for 50 steps, then falls along a cosine to a twentieth."""
    warm = min(50, steps // 4)
    rate = optax.warmup_cosine_decay_schedule(
        0.0 if warm else learning_rate, learning_rate, warm, steps, learning_rate / 20
    )
    return optax.chain(optax.clip_by_global_norm(1e4), optax.adam(rate))


def _make_epoch(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    steps: int,
    batch_size: int,
    accumulate: int,
    spread: Spread,
) -> Callable[[Any, Any, Array, PRNGKey], tuple[Any, dict[str, Array]]]:
    """(state, features, begun, key) to (state, means over the epoch), to be compiled.

    `begun` has the shares of the training that are over before and after the epoch;
    `first_loss`, beside the means, is that of the state given.
    """

    def epoch(
        state: Any, features: Any, begun: Array, key: PRNGKey
    ) -> tuple[Any, dict[str, Array]]:
        order_key, noise_key = jax.random.split(key)
        num_images = len(jax.tree.leaves(features)[0])
        order = jax.random.permutation(order_key, num_images)
        batches = order[: steps * batch_size].reshape(steps, batch_size)
        keys = jax.random.split(noise_key, steps)
        shares = begun[0] + (begun[1] - begun[0]) * jnp.arange(steps) / steps

        def step(state: Any, inputs: tuple[Array, Array, PRNGKey]) -> tuple[Any, Any]:
            params, optimizer_state = state
            index, progress, step_key = inputs

            def slopes(params: Any, index: Array, key: PRNGKey) -> Any:
                batch = jax.tree.map(lambda values: values[index], features)
                both = jax.value_and_grad(loss, has_aux=True)
                return both(params, batch, progress, key)

            own = spread.own_part(index), spread.own_key(step_key)
            found = accumulated(slopes, accumulate)(params, *own)
            (value, parts), slope = spread.joined(found)
            updates, optimizer_state = optimizer.update(slope, optimizer_state, params)
            params = optax.apply_updates(params, updates)
            return (params, optimizer_state), {"loss": value, **parts}

        state, metrics = jax.lax.scan(step, state, (batches, shares, keys))
        means = jax.tree.map(jnp.mean, metrics)
        return state, {**means, "first_loss": metrics["loss"][0]}

    return epoch


def _begun(epoch: int, epochs: int) -> Float[ndarray, "2"]:
    return np.array([epoch / epochs, (epoch + 1) / epochs], np.float32)


def _diverged(epoch: int, run_dir: object, history: list[dict[str, float]]) -> str:
    """The one line that says what happened and what is left."""
    kept = (
        f"the model of epoch {len(history)} is kept" if history else "nothing is kept"
    )
    where = f" in {run_dir}" if run_dir is not None and history else ""
    return (
        f"the loss stopped being finite in epoch {epoch + 1}; {kept}{where}. "
        "Lower learning_rate, or look for outliers in the images."
    )


@contextlib.contextmanager
def _progress(epochs: int, first: int, show: bool) -> Any:
    """A bar on a terminal, about ten plain lines elsewhere, nothing if not asked."""
    if not show:
        yield lambda text: None
        return
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=epochs, initial=first, unit="epoch", leave=False) as bar:

            def advance(text: str) -> None:
                bar.set_postfix_str(text)
                bar.update()

            yield advance
        return
    done = first

    def line(text: str) -> None:
        nonlocal done
        done += 1
        if done == epochs or done % max(epochs // 10, 1) == 0:
            sys.stderr.write(f"epoch {done}/{epochs}: {text}\n")

    yield line
