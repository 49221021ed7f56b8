"""Seconds that JAX spends on tracing, lowering and compiling, of a whole process."""

import time

EVENTS = "/jax/core/compile/"  # jaxpr_trace, jaxpr_to_mlir_module, backend_compile


class CompileClock:
    """Listens to JAX's own timing events from its making on.

    A function traced inside another counts once: the intervals are united.
    """

    def __init__(self) -> None:
        import jax

        self.intervals: list[tuple[float, float]] = []
        self.num_programs = 0
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **_: object) -> None:
        if event.startswith(EVENTS):
            now = time.perf_counter()
            self.intervals.append((now - duration_secs, now))
            self.num_programs += "backend_compile" in event

    @property
    def seconds(self) -> float:
        """Of all intervals so far, overlaps once."""
        return united(self.intervals)


def united(intervals: list[tuple[float, float]]) -> float:
    """The length covered by intervals (start, end), overlaps once.

    >>> united([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
    4.0
    """
    total, reached = 0.0, -float("inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
