"""PFM amplitude and phase to a signed response: the polarity, free of the offset."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxrvae._checks import DataError, number
from jaxrvae._typing import Float, Number
from jaxrvae.data.containers import Frame, Frames

CHANNELS = ("polarity", "amplitude")
DEGREES = 3 * np.pi  # a phase that spans more than this is in degrees


def find_polarity(
    movie: Frames,
    *,
    amplitude: str | None = None,
    phase: str | None = None,
    offset: Number | None = None,
) -> Frames:
    """The part of a piezoresponse along the axis of its two polarities, signed.

    Domains of opposite polarity answer half a turn apart in phase, around an offset
    that instrument and electrostatics set. Doubled, both phases are one: its direction,
    weighted by the amplitude, gives the offset of a frame. Positive is the polarity
    whose phase is nearer to zero in the first frame; it keeps its sign in the others.

    Args:
        movie: Frames with an amplitude and a phase (radians, or degrees where they span
            more than 3 pi).
        amplitude, phase: Names of the channels; None: those whose names say so,
            retraces before traces, the first of several.
        offset: Radians, the phase of positive polarity in all frames; None: found.

    Returns:
        Frames with the channels "polarity" (the signed response) and "amplitude", both
        in the amplitude's units; `metadata["phase_offset"]` in radians.

    Raises:
        DataError: A channel is missing.

    >>> from jaxrvae.data.containers import Frame
    >>> seen = np.stack([np.ones((2, 2)), [[0.1, 0.1 + np.pi], [0.1, 0.1]]], axis=-1)
    >>> movie = Frames((Frame(seen),), channels=("amplitude", "phase"))
    >>> find_polarity(movie)[0].values[..., 0].round(3).tolist()
    [[1.0, -1.0], [1.0, 1.0]]
    """
    if CHANNELS[0] in movie.channels:
        return _picked(movie)
    names = [
        _channel(movie.channels, "amp", amplitude),
        _channel(movie.channels, "phase", phase),
    ]
    where = [movie.channels.index(name) for name in names]
    found, before = [], 0.0
    for frame in movie:
        values = np.asarray(frame.values[..., where], np.float64)
        turn = np.pi / 180 if np.ptp(values[..., 1]) > DEGREES else 1.0
        response = values[..., 0] * np.exp(1j * turn * values[..., 1])
        if offset is None:
            before = _nearest(phase_axis(response), before)
        else:
            before = number("offset", offset, "It is in radians.")
        signed = np.real(response * np.exp(-1j * before))
        both = np.stack([signed, values[..., 0]], axis=-1).astype(np.float32)
        notes = {**frame.metadata, "phase_offset": before, "signed": True}
        found.append(dataclasses.replace(frame, source=both, metadata=notes))
    return dataclasses.replace(movie, frames=tuple(found), channels=CHANNELS)


def phase_axis(response: np.ndarray) -> float:
    """The phase, modulo pi, about which a complex response lies; in (-pi/2, pi/2].

    Source: Mardia & Jupp 2000, Directional Statistics, section 9.4.2 (axes).
    """
    size = np.abs(response)
    doubled = (response**2 / np.where(size > 0, size, 1.0)).sum()
    return float(np.angle(doubled)) / 2


def _nearest(axis: float, before: float) -> float:
    """That one of the axis's two ends that is nearer to the angle before."""
    return axis + np.pi * round((before - axis) / np.pi)


def _channel(channels: Sequence[str], word: str, given: str | None) -> str:
    if given is not None:
        if given not in channels:
            raise DataError(
                f"expected a channel {given!r}; the movie has {list(channels)}."
                " Name one of them."
            )
        return given
    named = [name for name in channels if word in name.lower()]
    plain = [name for name in named if not name.lower().startswith("nap")] or named
    back = [name for name in plain if "retrace" in name.lower()]
    if not plain:
        kind = {"amp": "amplitude"}.get(word, word)
        raise DataError(
            f"expected a channel with the {kind} of a piezoresponse; the movie has"
            f" {list(channels)}. Name it: {kind}=..., or read all channels."
        )
    return (back or plain)[0]


def _picked(movie: Frames) -> Frames:
    """The polarity, and the amplitude it goes with, of a movie that has it."""
    first = movie.channels.index(CHANNELS[0])

    def of(frame: Frame) -> Frame:
        signed = np.asarray(frame.values)[..., first]
        if CHANNELS[1] in movie.channels:
            size = frame.values[..., movie.channels.index(CHANNELS[1])]
        else:
            size = np.abs(signed)
        both: Float[np.ndarray, "row col 2"] = np.stack([signed, size], axis=-1)
        notes = {**frame.metadata, "signed": True}
        return dataclasses.replace(
            frame, source=both.astype(np.float32), metadata=notes
        )

    if movie.channels == CHANNELS:
        return movie
    frames = tuple(of(frame) for frame in movie)
    return dataclasses.replace(movie, frames=frames, channels=CHANNELS)
