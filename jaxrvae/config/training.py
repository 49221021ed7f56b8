"""What is maximized, and how the model is trained."""

import dataclasses

from jaxrvae._checks import at_least, between, one_of, positive, whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is maximized: with its defaults the bound itself.

    Attributes:
        beta: Weight of the content's KL; 1 is the true bound.
        free_bits: Nats of each content number that cost nothing.
        capacity: Nats that the content's KL is held to, instead of being weighted.
        capacity_weight: Of the distance from there; at 30 sharp images overrule it.
        ramp: Share of the training over which beta, or the capacity, rises from 0.
        num_samples: Of the content; above 1 the importance-weighted bound.
        image_weight: Of the images beside spectra; 0 leaves them to be read alone.

    Source: Higgins et al. 2017 (beta); Burgess et al. 2018, arXiv:1804.03599
    (capacity); Kingma et al. 2016, arXiv:1606.04934 (free bits); Burda et al. 2016,
    arXiv:1509.00519 (importance weights).
    """

    beta: float = 1.0
    free_bits: float = 0.0
    capacity: float | None = None
    capacity_weight: float = 1000.0
    ramp: float = 0.0
    num_samples: int = 1
    image_weight: float = 1.0

    def __post_init__(self) -> None:
        positive("beta", self.beta)
        at_least("free_bits", self.free_bits, 0.0)
        if self.capacity is not None:
            at_least("capacity", self.capacity, 0.0)
        positive("capacity_weight", self.capacity_weight)
        between("ramp", self.ramp, 0.0, 1.0, "It is a share of the training.")
        whole("num_samples", self.num_samples, 1)
        at_least("image_weight", self.image_weight, 0.0)
        weighted = self.beta != 1.0 or self.free_bits > 0 or self.ramp > 0
        if self.num_samples > 1 and (weighted or self.capacity is not None):
            raise ValueError(
                "num_samples > 1 is a bound of its own and goes with no beta, "
                "free_bits, capacity or ramp. Leave those, or num_samples, out."
            )
        if self.capacity is not None and (self.beta != 1.0 or self.free_bits > 0):
            raise ValueError(
                "capacity takes the place of beta and free_bits. Leave one out."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the model is trained."""

    epochs: int | None = None  # None: enough for 4000 steps, between 8 and 400
    batch_size: int = 100
    learning_rate: float = 2e-3  # the highest; it rises and falls along a cosine
    seed: int = 0
    save_seconds: float = 20.0  # at most so much work is lost to a kill
    devices: int | None = 1  # that a batch, or an ensemble, is split over; None: all
    parallel: str = "jit"  # how: one program over a mesh, or "pmap"
    stream: bool | None = None  # read images as they come; None: over 1 GiB on disk
    accumulate: int | None = None  # parts of a batch; None: as few as fit in memory
    precision: str = "float32"  # of hidden layers' products; or "bfloat16"

    def __post_init__(self) -> None:
        if self.epochs is not None:
            whole("epochs", self.epochs, 1)
        whole("batch_size", self.batch_size, 1)
        positive("learning_rate", self.learning_rate)
        if self.devices is not None:
            whole("devices", self.devices, 1, "None takes all.")
        one_of("precision", self.precision, ("float32", "bfloat16"))
        one_of("parallel", self.parallel, ("jit", "pmap"))
        if self.accumulate is not None:
            whole("accumulate", self.accumulate, 1, "None takes what fits in memory.")
