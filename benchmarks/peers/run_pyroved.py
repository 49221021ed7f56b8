"""Trains pyroVED's invariant VAE and prints its speed as one line of JSON.

Run by the peers' Python, from the checkout:

    .bench/peers/bin/python -m benchmarks.peers.run_pyroved images.npy --epochs 3
"""

import numpy as np

from benchmarks.peers import common


def main() -> None:
    """Reads the options, trains, prints, and writes the latents where asked to."""
    parser = common.arguments(__doc__.splitlines()[0], 100, 1e-3)
    samplers = ("bernoulli", "continuous_bernoulli", "gaussian")
    parser.add_argument("--sampler", default="bernoulli", choices=samplers)
    parser.add_argument("--noise", type=float, default=0.5, help="sd, gaussian only")
    options = parser.parse_args()
    common.stub_torchvision()
    import pyroved as pv
    import torch

    torch.set_num_threads(options.threads)
    images = torch.from_numpy(np.load(options.images).astype(np.float32))
    shape = tuple(images.shape[1:])
    model = pv.models.iVAE(
        shape,
        latent_dim=options.content_dim,
        invariances=list(options.pose),
        sampler_d=options.sampler,
        decoder_sig=options.noise,
        seed=options.seed,
    )
    trainer = pv.trainers.SVItrainer(model, lr=options.learning_rate, seed=options.seed)
    batches = common.loader(images, options)
    seconds: list[float] = []
    step = common.timed(lambda: trainer.step(batches), seconds)
    for _ in range(options.warm_up + options.epochs):
        step()
    common.write_latents(lambda batch: model.encode(batch)[0].numpy(), images, options)
    share = (options.per_epoch or len(images)) / len(images)  # it divides by all images
    losses = [loss / share for loss in trainer.loss_history["training_loss"]]
    common.report(f"pyroVED {pv.__version__}", options, seconds, losses)


if __name__ == "__main__":
    main()
