"""Trains AtomAI's rVAE and prints its speed as one line of JSON.

Run by the peers' Python, from the checkout:

    .bench/peers/bin/python -m benchmarks.peers.run_atomai images.npy --epochs 3
"""

import contextlib
import io
import tempfile

import numpy as np

from benchmarks.peers import common


def main() -> None:
    """Reads the options, trains, prints, and writes the latents where asked to."""
    parser = common.arguments(__doc__.splitlines()[0], 32, 1e-4)
    add = parser.add_argument
    add("--rotation-prior", type=float, default=0.1, help="the peer's default")
    options = parser.parse_args()
    common.stub_torchvision()
    import atomai
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)  # rVAE(seed=) comes after the weights are drawn
    images = torch.from_numpy(np.load(options.images).astype(np.float32))
    shape = tuple(images.shape[1:])
    model = atomai.models.rVAE(
        shape,
        latent_dim=options.content_dim,
        translation="t" in options.pose,
        seed=options.seed,
    )
    seconds: list[float] = []
    train_epoch = common.timed(model.train_epoch, seconds)

    def train_drawn():
        model.train_iterator = common.loader(images, options)
        return train_epoch()

    model.train_epoch = train_drawn
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        model.fit(
            images,
            training_cycles=options.warm_up + options.epochs,
            batch_size=options.batch_size,
            rotation_prior=options.rotation_prior,
            optimizer=lambda p: torch.optim.Adam(p, lr=options.learning_rate),
            filename=f"{folder}/model",
        )
    common.write_latents(lambda batch: model.encode(batch)[0], images, options)
    losses = [float(-bound) for bound in model.loss_history["train_loss"]]
    common.report(f"AtomAI {atomai.__version__}", options, seconds, losses)


if __name__ == "__main__":
    main()
