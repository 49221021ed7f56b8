import jax
import jax.numpy as jnp
import pytest

from benchmarks._compile import CompileClock, united


@pytest.mark.parametrize(
    ("intervals", "length"),
    [([], 0), ([(0, 1), (0.2, 0.5)], 1), ([(3, 4), (0, 2), (1, 3.5)], 4)],
)
def test_overlapping_intervals_count_once(intervals, length):
    assert united(intervals) == pytest.approx(length)


def test_clock_hears_a_compilation_and_not_a_second_call():
    clock = CompileClock()
    function = jax.jit(lambda x: jnp.cos(x) @ x)
    argument = jax.device_put(jnp.ones((3, 3)))
    function(argument).block_until_ready()
    first, programs = clock.seconds, clock.num_programs
    assert first > 0
    assert programs >= 1
    function(argument).block_until_ready()
    assert (clock.seconds, clock.num_programs) == (first, programs)
