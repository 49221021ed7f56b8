"""Densities of the content before any image is seen."""
