"""Movies of ferroelectric domains under a bias, as piezoresponse force microscopy."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._checks import at_least, between, one_of, positive, whole
from jaxrvae._typing import Float, Number
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.simulate.domains import (
    draw_pins,
    draw_start,
    in_plane_stripes,
    wall_points,
)
from jaxrvae.simulate.imaging import FWHM
from jaxrvae.simulate.landau import COERCIVE_FIELD, Landscape, evolve
from jaxrvae.simulate.scan import as_tuple, check_drift, drift_path

CHANNELS = ("amplitude", "phase")
METADATA = {"simulated": "ferroelectric", "units": ("pm", "rad")}
STEP = 0.25  # relaxation times
STARTS = ("domains", "stripes", "random")
WAVEFORMS = ("constant", "triangle", "sine", "pulses")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Film:
    """The ferroelectric. Fields are in coercive fields of the perfect film.

    Attributes:
        bias: Field of each frame, or the height of the waveform; positive fields grow
            the up domains.
        waveform: "constant"; "triangle" and "sine", one period a movie; "pulses", on
            in every other frame.
        start: "domains", round ones that point up; "stripes"; "random", a quench.
        num_domains: How many round ones.
        domain_radius: Their mean radius, or the stripes' half width, nm.
        wall_width: Walls are tanh(distance / wall_width), nm. Two pixels or more keep
            the grid from holding walls; real ones are thinner than a tip resolves.
        num_pins: Defects, placed at random.
        pin_radius: Standard deviation of a defect's reach, nm.
        pin_field: Standard deviation over defects of the field at their centre.
        pin_softening: Share by which defects weaken the double well at their centre,
            which holds walls.
        imprint: Built-in field.
        temperature: k_B T of one pixel, in units of four times the bulk's well depth.
        frame_time: Relaxation times between frames.
        in_plane: Share of the film that stripes polarized in the plane take up, along
            the axes; they stand for what the substrate's strain does.
    """

    bias: Number | Sequence[Number] = 0.2
    waveform: str = "constant"
    start: str = "domains"
    num_domains: int = 8
    domain_radius: Number = 100.0
    wall_width: Number = 10.0
    num_pins: int = 150
    pin_radius: Number = 25.0
    pin_field: Number = 0.5
    pin_softening: Number = 0.6
    imprint: Number = 0.0
    temperature: Number = 0.003
    frame_time: Number = 10.0
    in_plane: Number = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.bias, list):
            object.__setattr__(self, "bias", tuple(self.bias))
        one_of("waveform", self.waveform, WAVEFORMS)
        one_of("start", self.start, STARTS)
        whole("num_domains", self.num_domains, 0)
        whole("num_pins", self.num_pins, 0)
        for name in ("domain_radius", "wall_width", "pin_radius", "frame_time"):
            positive(name, getattr(self, name))
        at_least("pin_field", self.pin_field, 0)
        between("pin_softening", self.pin_softening, 0, 1)
        between("imprint", self.imprint, -2, 2, "It is in coercive fields.")
        between("temperature", self.temperature, 0, 0.2)
        between("in_plane", self.in_plane, 0, 0.5)
        for field in np.atleast_1d(self.bias).tolist():
            between("bias", field, -2, 2, "It is in coercive fields.")

    def fields(self, num_frames: int) -> Float[np.ndarray, " frame"]:
        """Bias of every frame, coercive fields.

        >>> Film(bias=1.0, waveform="triangle").fields(5).tolist()
        [0.0, 1.0, 0.0, -1.0, 0.0]
        """
        if isinstance(self.bias, Sequence):
            if len(self.bias) != num_frames:
                raise ValueError(
                    f"bias must be one number or one a frame ({num_frames}); got "
                    f"{len(self.bias)}."
                )
            return np.array(self.bias, float)
        turns = np.arange(num_frames) / max(num_frames - 1, 1)
        shapes = {
            "constant": np.ones(num_frames),
            "triangle": 1 - np.abs((4 * turns + 1) % 4 - 2),
            "sine": np.sin(2 * np.pi * turns),
            "pulses": np.arange(num_frames) % 2.0,
        }
        return self.bias * shapes[self.waveform]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tip:
    """The microscope.

    Attributes:
        num_frames: How many.
        size: Pixels along each side.
        pixel_size: nm.
        tip: Full width at half maximum of what the tip averages over, nm.
        response: Amplitude over a wide domain, pm.
        electrostatic: Added to the piezoresponse everywhere, as a share of it: up and
            down domains differ in amplitude by twice this.
        phase_offset: Of the instrument, radians; None draws it.
        noise: Standard deviation of each quadrature of the lock-in, share of response.
        drift: (dx, dy) pixels a frame, y downwards, or the standard deviation of the
            steps of a random walk along each axis.
    """

    num_frames: int = 50
    size: int = 512
    pixel_size: Number = 5.0
    tip: Number = 25.0
    response: Number = 50.0
    electrostatic: Number = 0.1
    phase_offset: Number | None = None
    noise: Number = 0.08
    drift: Number | Sequence[Number] = 0.0

    def __post_init__(self) -> None:
        whole("num_frames", self.num_frames, 1)
        whole("size", self.size, 16)
        as_tuple(self, "drift", 2)
        check_drift(self.drift)
        for name in ("pixel_size", "response"):
            positive(name, getattr(self, name))
        for name in ("tip", "noise"):
            at_least(name, getattr(self, name), 0)
        between("electrostatic", self.electrostatic, -0.9, 0.9)


def simulate_ferroelectric(
    seed: int = 0, film: Film | None = None, tip: Tip | None = None
) -> Frames:
    """A movie of PFM amplitude (pm) and phase (radians), and what was really there.

    Frames are (row, col, 2). The film rests without bias for one frame's time, then
    each frame shows the state after `frame_time` under its own bias.

    `.truth` has "polarization" (frame, row, col), out of plane, in spontaneous ones,
    and "in_plane" (frame, row, col, 2: right, up) where there are such domains;
    "walls", the zero contour of the polarization: frame, x, y (pixels), direction
    (radians, the normal from - to + polarity, counter-clockwise as displayed); "frames"
    (frame, bias in coercive fields, up_area in nm^2, wall_points); "pins" (x, y at the
    first frame, pixels; field, softening); "drift" (frame, x, y); "phase_offset";
    "options".

    Args:
        seed: The same seed gives the same movie.
        film: The ferroelectric.
        tip: The microscope.

    >>> movie = simulate_ferroelectric(0, tip=Tip(num_frames=2, size=64))
    >>> movie.values.shape, movie.channels
    ((2, 64, 64, 2), ('amplitude', 'phase'))
    """
    film, tip = film or Film(), tip or Tip()
    film_rng, drift_rng, noise_rng = np.random.default_rng(seed).spawn(3)
    bias = film.fields(tip.num_frames)
    drift = drift_path(tip.num_frames, tip.drift, drift_rng)
    margin = int(np.ceil(np.abs(drift).max()))
    pins, states = _history(film, tip, bias, margin, film_rng)
    offset = float(noise_rng.uniform(-np.pi, np.pi))
    if tip.phase_offset is None:
        tip = dataclasses.replace(tip, phase_offset=offset)
    frames, walls, seen, table = [], [], [], []
    for number, state in enumerate(states):
        layers = np.stack([_crop(layer, drift[number], margin) for layer in state], -1)
        points = wall_points(layers[..., 0], film.wall_width / tip.pixel_size)
        planar = np.hypot.reduce(layers[..., 1:], axis=-1, initial=0.0)
        area = (layers[..., 0] > planar).sum() * tip.pixel_size**2
        walls.append(points.assign(frame=number))
        table.append((number, bias[number], area, len(points)))
        seen.append(layers)
        frames.append(
            Frame(
                _measure(layers[..., 0], tip, noise_rng),
                tip.pixel_size,
                f"ferroelectric {number}",
                number,
                METADATA,
            )
        )
    polarization = np.stack(seen)
    truth = {
        "polarization": polarization[..., 0],
        "walls": pd.concat(walls, ignore_index=True)[["frame", "x", "y", "direction"]],
        "frames": pd.DataFrame(
            table, columns=["frame", "bias", "up_area", "wall_points"]
        ),
        "pins": pins.assign(x=pins["x"] - margin, y=pins["y"] - margin),
        "drift": pd.DataFrame(drift, columns=["x", "y"])
        .rename_axis("frame")
        .reset_index(),
        "phase_offset": tip.phase_offset,
        "options": dataclasses.asdict(film) | dataclasses.asdict(tip),
    }
    if film.in_plane:
        truth["in_plane"] = polarization[..., 1:]
    return Frames(tuple(frames), CHANNELS, {**METADATA, "seed": seed}, truth)


def _history(
    film: Film,
    tip: Tip,
    bias: np.ndarray,
    margin: int,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Defects, and (frame, component, row, col) on a grid with the margin."""
    side, pixel = tip.size + 2 * margin, tip.pixel_size
    pins, field, softening = draw_pins(
        side,
        film.num_pins,
        film.pin_radius / pixel,
        field=film.pin_field,
        softening=film.pin_softening,
        rng=rng,
    )
    start = draw_start(
        film.start,
        side,
        num_domains=film.num_domains,
        radius=film.domain_radius / pixel,
        wall_width=film.wall_width / pixel,
        rng=rng,
    )
    stiffness = 1 - softening[None]
    start = start[None]
    if film.in_plane:
        well, planar = in_plane_stripes(
            side, film.in_plane, film.wall_width / pixel, rng
        )
        stiffness = well - softening
        start = np.concatenate([start * (1 - np.abs(planar).sum(0)), planar])
    landscape = Landscape(
        jnp.asarray(stiffness, jnp.float32),
        jnp.asarray(COERCIVE_FIELD * (field + film.imprint), jnp.float32),
    )
    applied = COERCIVE_FIELD * np.concatenate([[0.0], bias])  # a frame of rest first
    num_steps = int(np.ceil(film.frame_time / STEP))
    states = evolve(
        jnp.asarray(start, jnp.float32),
        jnp.asarray(applied, jnp.float32),
        landscape,
        film.wall_width / pixel,
        film.temperature,
        film.frame_time / num_steps,
        num_steps,
        jax.random.key(int(rng.integers(2**31))),
    )
    return pins, np.asarray(states)[1:]


def _crop(layer: np.ndarray, drift: np.ndarray, margin: int) -> np.ndarray:
    """What the drifted field of view shows of the periodic grid."""
    from scipy import ndimage

    if drift.any():
        layer = ndimage.shift(layer, drift[::-1], order=3, mode="grid-wrap")
    side = len(layer) - 2 * margin
    return layer[margin : margin + side, margin : margin + side]


def _measure(
    polarization: np.ndarray, tip: Tip, rng: np.random.Generator
) -> np.ndarray:
    """(row, col, 2) amplitude and phase."""
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(
        polarization, tip.tip / FWHM / tip.pixel_size, mode="nearest"
    )
    signal = (blurred + tip.electrostatic) * np.exp(1j * (tip.phase_offset or 0.0))
    noise = rng.standard_normal((2, *polarization.shape))
    lock_in = tip.response * (signal + tip.noise * (noise[0] + 1j * noise[1]))
    return np.stack([np.abs(lock_in), np.angle(lock_in)], -1).astype(np.float32)
