"""Compiling for programs that run a single time."""

import functools

import jax

# Of a program that runs once, in milliseconds, the compiling is the work.
compile_lightly = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)
