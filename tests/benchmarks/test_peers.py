import sys

import numpy as np
import pytest

from benchmarks.peers import common, launch


def peer_image(canonical, angle, shift, size, prior=0.1):
    """What a peer's decoder shows: `canonical` at the turned, then moved grid."""
    u, v = np.meshgrid(
        np.linspace(-1, 1, size), np.linspace(1, -1, size), indexing="ij"
    )
    turned = np.stack(
        [u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)]
    )
    return canonical(*(turned + prior * np.reshape(shift, (2, 1, 1))))


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
def test_a_spot_lands_where_the_translated_pose_puts_it(angle):
    size, shift = 101, np.array([1.2, -0.7])
    right, up = 0.4, 0.1  # of the spot in the canonical image, units of the grid

    def canonical(u, v):
        return np.exp(-((u + up) ** 2 + (v + right) ** 2) / (2 * 0.03**2))

    image = peer_image(canonical, angle, shift, size)
    row, column = np.unravel_index(image.argmax(), image.shape)
    means = np.array([[angle, *shift, 5.0]])
    found = common.latents(means, "rt", (size, size))
    theta, half = found["angle"][0], (size - 1) / 2
    x = right * np.cos(theta) - up * np.sin(theta)
    y = right * np.sin(theta) + up * np.cos(theta)
    expected = np.array([x, -y]) * half + found["shift"][0] + half
    assert np.allclose([column, row], expected, atol=1)
    assert found["content"].tolist() == [[5.0]]


def test_angles_are_wrapped_and_rotation_alone_has_no_shift():
    found = common.latents(np.array([[3.5, 1.0, 2.0]]), "r", (9, 9))
    assert found["angle"] == pytest.approx(3.5 - 2 * np.pi)
    assert found["content"].tolist() == [[1.0, 2.0]]
    assert "shift" not in found


def test_missing_environment_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "PYTHON", tmp_path / "python")
    with pytest.raises(FileNotFoundError, match=r"benchmarks\.peers\.install"):
        launch.run("pyroved", "images.npy")


def test_threads_reach_every_library_and_malloc_is_left_out(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    environment = launch.quiet_environment(3)
    assert environment["OMP_NUM_THREADS"] == "3"
    assert "MALLOC_TOP_PAD_" not in environment


def test_last_line_is_read_and_a_failure_shows_what_was_said():
    run = [sys.executable, "-c"]
    assert launch.last_json(
        [*run, "print('x'); print('{\"a\": 1}')"], launch.quiet_environment(1)
    ) == {"a": 1}
    with pytest.raises(RuntimeError, match="no luck"):
        launch.last_json([*run, "raise SystemExit('no luck')"], {})
