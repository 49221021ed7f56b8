"""The published programs, run in an environment of their own."""
