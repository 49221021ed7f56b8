"""Training: epochs by compiled programs, checkpoints, history.

The key of an epoch is folded from the seed and the epoch's number, so that a run taken
up at a checkpoint draws what it would have drawn.
"""

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrvae._checks import RunError
from jaxrvae._compile import compile_lightly
from jaxrvae._typing import Float, ndarray
from jaxrvae.config import TrainingConfig
from jaxrvae.training.checkpoint import RunDirectory
from jaxrvae.training.epoch import Loss, Params, Resident, Streamed
from jaxrvae.training.sharding import spread_over
from jaxrvae.training.stream import Stream

LEAST_STEPS = 4000
# Shares of the training between which a quicker loss stands in, and the steps of a run
# that is worth compiling it.
QUICKER, LONG = (0.1, 0.9), 2000
PARTIAL = "partial"  # in a checkpoint's last row: of an epoch that is not over


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training gives back.

    Attributes:
        history: A row an epoch: epoch, step, loss, its parts, seconds; of members the
            loss and its parts are lists, a number each.
        compile_seconds: Of compilations.
    """

    params: Params
    history: list[dict[str, Any]]
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
    knobs: Mapping[str, Any] | None = None,
    run_dir: str | Path | None = None,
    fingerprint: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Fitted:
    """Parameters after all epochs, taken up where the run directory left off.

    Args:
        loss: (params, a batch of the features, share of the training that is over,
            key, and knobs if there are any) to (scalar, its parts).
        quicker: Instead of the loss between the first and the last epochs of long runs.
        features: A pytree of arrays with the images along their first axis, which go
            onto the device; or a `Stream`, which is read as training goes on.
        members: Of an ensemble, along the parameters' first axis, each with the key of
            its own seed; all are trained by one program.
        knobs: What members differ in, along first axes: `seed`, `rate` (of the config's
            learning rate), and what the loss reads. Then members whose loss stops
            being finite do not stop the others.
        run_dir: Where checkpoints go; without it nothing is written.
        fingerprint: What must agree for a checkpoint there to be taken up.

    Raises:
        Diverged: If the loss, of knobs every member's, stops being finite. The last
            good state is kept.
        ValueError: The config's devices do not go with its batch, or are not there.
    """
    streamed = isinstance(features, Stream)
    number = len(features) if streamed else len(jax.tree.leaves(features)[0])
    epochs, steps, batch_size = plan(config, number)
    size = features.piece_steps(steps, batch_size) if streamed else steps
    steps = (
        steps // size * size
    )  # whole pieces; the images left out are others each time
    optimizer = make_optimizer(config.learning_rate, epochs * steps)
    start_optimizer = optimizer.init if members is None else jax.vmap(optimizer.init)
    spread = spread_over(config, batch_size, members)
    state = (params, compile_lightly(start_optimizer)(params))
    how: dict[str, Any] = {"optimizer": optimizer, "steps": steps, "spread": spread}
    how |= {"batch_size": batch_size, "accumulate": config.accumulate}
    own_knobs = {k: v for k, v in (knobs or {}).items() if k != "seed"} or None
    how |= {"members": members, "knobs": own_knobs}
    how["in_turn"] = spread.alone and jax.default_backend() == "cpu"
    if streamed:
        work: Resident | Streamed = Streamed(stream=features, size=size, **how)
    else:
        work = Resident(features=features, **how)
    history: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        run = None
        if run_dir is not None:
            if spread.leads:
                run = stack.enter_context(RunDirectory(run_dir, fingerprint or {}))
                found = run.restore(state)
                if found is not None:
                    _, state, history = found
            state, history = spread.shared(state, history)
        done = history.pop()[PARTIAL] if history and PARTIAL in history[-1] else []
        state = spread.placed(state, split=members is not None)
        first = len(history)
        if first >= epochs:
            return Fitted(spread.gathered(state[0]), history, 0.0)
        key, fold = jax.random.key(config.seed), jax.random.fold_in
        if members is not None:
            seeds = config.seed + jnp.arange(members)
            seeds = (knobs or {}).get("seed", seeds)
            key = jax.vmap(jax.random.key)(jnp.asarray(seeds))
            fold = jax.vmap(fold, (0, None))
        if epochs * steps < LONG:
            quicker = None
        bar = stack.enter_context(_progress(epochs, first, progress and spread.leads))
        saved = time.perf_counter()
        enough = np.all if knobs is None else np.any
        before = state, len(history)
        for epoch in range(first, epochs):
            shares, own = _begun(epoch, epochs), loss
            if quicker and QUICKER[0] <= shares[0] and shares[1] <= QUICKER[1]:
                own = quicker
            start, compiled = time.perf_counter(), work.compile_seconds
            rows: list[dict[str, Any]] = []
            pieces = work.epoch(own, state, shares, fold(key, epoch), len(done))
            for new, row in _told(pieces, epoch, run_dir):
                if not enough(np.isfinite(row["loss"])):
                    if not enough(np.isfinite(row["first_loss"])):
                        state, history = before[0], history[: before[1]]
                    state = spread.gathered(state)  # that before the last step too far
                    if run is not None and history:
                        run.save(len(history) * steps, state, history)
                    good = Fitted(state[0], history, work.compile_seconds)
                    raise Diverged(_diverged(epoch, run_dir, history), good)
                before, state = (state, len(history)), new
                done.append(row)
                taken = epoch * steps + len(done) * size
                rows = [{PARTIAL: done}]
                if len(done) * size == steps:
                    spent = time.perf_counter() - start
                    spent -= work.compile_seconds - compiled
                    rows = [_row(epoch + 1, taken, done, spent)]
                late = time.perf_counter() - saved > config.save_seconds
                if run_dir and spread.agreed(late or taken == epochs * steps):
                    whole = spread.gathered(state)
                    if run is not None:
                        run.save(taken, whole, history + rows)
                    saved = time.perf_counter()
            history += rows
            done = []
            bar(f"loss {np.nanmean(history[-1]['loss']):.2f}")
    return Fitted(spread.gathered(state[0]), history, work.compile_seconds)


def _row(
    epoch: int, step: int, pieces: list[dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """The history's, of an epoch's pieces; all are of as many steps."""
    names = [name for name in pieces[0] if name != "first_loss"]
    means = {n: np.mean([one[n] for one in pieces], axis=0).tolist() for n in names}
    return {"epoch": epoch, "step": step, **means, "seconds": seconds}


def make_optimizer(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Adam; the rate rises for 50 steps, then falls along a cosine to a twentieth."""
    warm = min(50, steps // 4)
    rate = optax.warmup_cosine_decay_schedule(
        0.0 if warm else learning_rate, learning_rate, warm, steps, learning_rate / 20
    )
    return optax.chain(optax.clip_by_global_norm(1e4), optax.adam(rate))


def _begun(epoch: int, epochs: int) -> Float[ndarray, "2"]:
    return np.array([epoch / epochs, (epoch + 1) / epochs], np.float32)


def _diverged(epoch: int, run_dir: object, history: list[dict[str, Any]]) -> str:
    """The one line that says what happened and what is left."""
    kept = (
        f"the model of epoch {len(history)} is kept" if history else "nothing is kept"
    )
    where = f" in {run_dir}" if run_dir is not None and history else ""
    return (
        f"the loss stopped being finite in epoch {epoch + 1}; {kept}{where}. "
        "Lower learning_rate, or look for outliers in the images."
    )


def _told(pieces: Iterator[Any], epoch: int, run_dir: object) -> Iterator[Any]:
    """The same; where the device or another process fails, one line says so."""
    try:
        yield from pieces
    except jax.errors.JaxRuntimeError as error:
        lines = str(error).strip().splitlines()
        reason = lines[-1 if "Traceback" in lines[0] else 0][:200]
        if "RESOURCE_EXHAUSTED" in reason:
            advice = "Take a smaller batch_size, or a larger accumulate."
        elif run_dir is None:
            advice = "Fit with run_dir=..., and a run that stopped goes on."
        else:
            advice = f"What was saved is in {run_dir}: start it again, on all machines,"
            advice += " and it goes on from there."
        raise RunError(
            f"epoch {epoch + 1} failed: {reason.rstrip('.')}. {advice}"
        ) from error


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
