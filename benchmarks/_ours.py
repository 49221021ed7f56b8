"""Trains one model of ours and prints its speed as one line of JSON.

    python -m benchmarks._ours images.npy --pose rotation shift --decoder affine

With `--simulate N SIZE` the images are made first and written there.
"""

import argparse
import json
import resource
import statistics
import time
from typing import Any

import numpy as np

from benchmarks._compile import CompileClock


def main() -> None:
    """Reads the options, then simulates or trains, and prints."""
    parser = argparse.ArgumentParser(description="Training speed of one model.")
    add = parser.add_argument
    add("images", help=".npy, (n, row, col)")
    add("--simulate", nargs=2, type=int, metavar=("N", "SIZE"), help="glyphs, first")
    add("--pose", nargs="+", default=["rotation", "shift"])
    add("--decoder", default="auto")
    add("--posterior", default="auto")
    add("--limit", type=int, help="images of the file that are read")
    add("--epochs", type=int, default=5, help="timed epochs")
    add("--warm-up", type=int, default=1, help="epochs before them, not timed")
    add("--batch-size", type=int, help="the model's own by default")
    add("--precision", default="float32", choices=("float32", "bfloat16"))
    add("--seeds", type=int, help="members of an ensemble")
    add("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.simulate:
        num_images, size = options.simulate
        simulate(options.images, num_images, size, options.seed)
    else:
        print(json.dumps(train(options)))


def simulate(path: str, num_images: int, size: int, seed: int) -> None:
    """Writes glyphs of uniform angle, shifted by 8 % and sheared by 0.3, as .npy."""
    import jaxrvae as jr

    patches = jr.simulate("glyphs", seed=seed, num_images=num_images, size=size)
    np.save(path, patches.values)
    print(json.dumps({"shape": patches.values.shape}))


def train(options: argparse.Namespace) -> dict[str, object]:
    """Images/s of every timed epoch, their median, compile seconds and peak memory."""
    import jax

    import jaxrvae as jr

    clock = CompileClock()
    images = np.load(options.images, mmap_mode="r")[: options.limit]
    images = np.array(images)
    model = jr.RVAE(
        content_dim=2,
        pose=tuple(options.pose),
        decoder=options.decoder,
        posterior=options.posterior,
        seed=options.seed,
    )
    given: dict[str, Any] = {"precision": options.precision, "seeds": options.seeds}
    given |= {} if options.batch_size is None else {"batch_size": options.batch_size}
    start = time.perf_counter()
    epochs = options.warm_up + options.epochs
    model.fit(images, epochs=epochs, progress=False, **given)
    wall = time.perf_counter() - start
    seconds = model.history["seconds"].to_list()[options.warm_up :]
    rates = [len(images) / duration for duration in seconds]
    device = jax.devices()[0]
    held = (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
    arithmetic = point_operations(model, images[0].size)
    return {
        "images_per_second": statistics.median(rates),
        "rates": rates,
        "seconds": seconds,
        "fit_seconds": wall,
        "compile_seconds": clock.seconds,
        "programs": clock.num_programs,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "device_peak_gb": held / 2**30,
        "device": f"{device.platform} {device.device_kind}",
        "matmul_gflops": matmul_gflops(),
        "decoder_gflops": statistics.median(rates) * arithmetic / 1e9,
        "losses": model.history["loss"].to_list(),
    }


def point_operations(model: Any, num_points: int) -> int:
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


def matmul_gflops(size: int = 2048, repeats: int = 10) -> float:
    """The device's best rate in float32 products of square matrices."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(lambda a, b: a @ b)
    values = jnp.ones((size, size))
    product(values, values).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        product(values, values).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


if __name__ == "__main__":
    main()
