"""What a step of training computes and moves, against what the machine can do.

Operations and bytes are the compiler's count of the loss and its gradient, optimizer
left out; a loop's body counts once there, so that of the steerable likelihood seven of
eight Newton steps are missing (a few per cent). The products of a decoder of points are
counted by hand.

Source: Williams, Waterman & Patterson 2009, Commun. ACM 52 (4), 65 (roofline).
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 100
MEMORY, CACHED = 2**26, 2**17  # floats that are copied: beyond every cache, within


def roofline(model: Any, images: np.ndarray, rate: float) -> dict[str, float]:
    """Operations and bytes an image, the machine's peaks, and their shares.

    Args:
        model: A fitted `RVAE`.
        images: (n, row, col).
        rate: Images/s in training.
    """
    operations, moved = step_costs(model, images[:BATCH])
    operations = points_operations(model, images[0].size) or operations
    matmul, copy = matmul_gflops(), copy_gbytes(MEMORY)
    cached = copy_gbytes(CACHED, MEMORY // CACHED)
    return {
        "matmul_gflops": matmul,
        "copy_gbytes": copy,
        "cached_gbytes": cached,
        "mflop_an_image": operations / 1e6,
        "operations_a_byte": operations / moved,
        "gflops": rate * operations / 1e9,
        "matmul_share": rate * operations / 1e9 / matmul,
        "copy_share": rate * moved / 1e9 / copy,
        "cached_share": rate * moved / 1e9 / cached,
    }


def step_costs(model: Any, images: np.ndarray) -> tuple[float, float]:
    """Operations and bytes an image of the loss and its gradient, as compiled."""
    import jax
    import jax.numpy as jnp

    from jaxrvae.config import ObjectiveConfig
    from jaxrvae.data.batches import as_images
    from jaxrvae.objectives.build import make_loss

    fitted = model.fitted
    features = fitted.features(as_images(images))
    batch = {name: jnp.asarray(values) for name, values in features.items()}
    loss = make_loss(fitted, fitted.is_small(len(images)), ObjectiveConfig())
    both = jax.jit(jax.value_and_grad(loss, has_aux=True))
    inputs = fitted.params, batch, jnp.array(0.5), jax.random.key(0)
    costs = both.lower(*inputs).compile().cost_analysis() or {}
    number = len(images)
    return costs.get("flops", 0.0) / number, costs.get("bytes accessed", 1.0) / number


def points_operations(model: Any, num_points: int) -> int:
    """Of training on one image: the products of a decoder of points; 0 for others.

    Forward, and twice as many backward; what is computed again is not counted.
    """
    from flax import nnx

    fitted = model.fitted
    decoder = nnx.merge(fitted.graph, fitted.params).decoder
    if not hasattr(decoder, "lift") or model.config.decoder_family != "coordinate":
        return 0
    layers = [decoder.lift, *decoder.hidden, decoder.out]
    return 6 * num_points * sum(layer.kernel[...].size for layer in layers)


def matmul_gflops(size: int = 2048) -> float:
    """The device's best rate in float32 products of square matrices."""
    import jax
    import jax.numpy as jnp

    values = jnp.ones((size, size))
    return 2 * size**3 / 1e9 / best_seconds(jax.jit(lambda a: a @ a), values)


def copy_gbytes(size: int, times: int = 1) -> float:
    """The best rate of reading and writing an array of so many floats, GB/s.

    Args:
        times: One after another; small arrays then stay in the cache.
    """
    import jax
    import jax.numpy as jnp

    program = jax.jit(lambda a: jax.lax.fori_loop(0, times, lambda _, b: b + 1, a))
    return 8 * size * times / 1e9 / best_seconds(program, jnp.ones(size))


def best_seconds(
    function: Callable[[Any], Any], values: Any, repeats: int = 10
) -> float:
    """The least of so many calls, after one that compiles."""
    import jax

    jax.block_until_ready(function(values))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(values))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rates against operations a byte, below the machine's two limits.

    Args:
        rows: "label", and what `roofline` gives.
    """
    import matplotlib.pyplot as plt

    matmul = float(np.median([row["matmul_gflops"] for row in rows]))
    copy = float(np.median([row["copy_gbytes"] for row in rows]))
    cached = float(np.median([row["cached_gbytes"] for row in rows]))
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    places = [row["operations_a_byte"] for row in rows]
    ends = np.array([min(places) / 3, max(*places, matmul / copy) * 3])
    fine = np.geomspace(*ends, 200)
    for rate, word, style in ((cached, "cache", "--"), (copy, "memory", "-")):
        limit = np.minimum(matmul, rate * fine)
        label = f"copying {rate:,.1f} GB/s in the {word}"
        axis.loglog(fine, limit, style, color="0.3", label=label)
    axis.annotate(
        f"products {matmul:,.0f} GFLOP/s",
        (ends[1], matmul), (-4, 4), textcoords="offset points", ha="right",
    )  # fmt: skip
    for row, marker in zip(rows, "osD^vP*X", strict=False):
        place, rate = row["operations_a_byte"], row["gflops"]
        axis.plot(place, rate, marker, label=row["label"], markersize=8)
    axis.set(xlabel="operations a byte moved", ylabel="GFLOP/s in training")
    axis.set(xlim=ends, ylim=(None, 2 * matmul))
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small", loc="lower right")
    figure.savefig(path, dpi=150)
    plt.close(figure)
