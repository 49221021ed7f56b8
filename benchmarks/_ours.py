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
from benchmarks._roofline import roofline


def main() -> None:
    """Reads the options, then simulates or trains, and prints."""
    parser = argparse.ArgumentParser(description="Training speed of one model.")
    add = parser.add_argument
    add("images", help=".npy, (n, row, col)")
    add("--simulate", nargs=2, type=int, metavar=("N", "SIZE"), help="glyphs, first")
    add("--pose", nargs="+", default=["rotation", "shift"])
    add("--decoder", default="auto")
    add("--posterior", default="auto")
    add("--num-turns", type=int, default=8)
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
        num_turns=options.num_turns,
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
    rate = statistics.median(rates) * (options.seeds or 1)
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
        **roofline(model, images, rate),
        "losses": model.history["loss"].to_list(),
    }


if __name__ == "__main__":
    main()
