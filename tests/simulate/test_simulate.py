import numpy as np
import pytest

from jaxrvae import simulate


def test_unknown_kind_suggests_the_nearest():
    with pytest.raises(ValueError, match="got 'graphen'. Did you mean 'graphene'"):
        simulate("graphen")


@pytest.mark.parametrize(
    ("kind", "option", "nearest"),
    [
        ("glyphs", "nois", "noise"),
        ("graphene", "silicon_fractoin", "silicon_fraction"),
        ("graphene", "pixelsize", "pixel_size"),
        ("ferroelectric", "pinning_field", "pin_field"),
        ("beam", "flip", "flip_rate"),
        ("lattice", "dopants", "dopant"),
    ],
)
def test_unknown_option_suggests_the_nearest(kind, option, nearest):
    with pytest.raises(TypeError, match=f"{option}.*Did you mean '{nearest}'"):
        simulate(kind, **{option: 1})


def test_options_reach_sheet_and_scan_and_those_kept_remake_the_movie():
    movie = simulate("graphene", seed=5, num_frames=1, size=40, hop_rate=0.25)
    assert movie.values.shape == (1, 40, 40)
    assert movie.truth["options"]["hop_rate"] == 0.25
    again = simulate("graphene", seed=5, **movie.truth["options"])
    np.testing.assert_array_equal(again.values, movie.values)
