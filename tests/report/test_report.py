import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

import jaxrvae as jr
from jaxrvae.analysis.clusters import find_classes
from jaxrvae.data.containers import Frames
from jaxrvae.locate.windows import with_brightness
from jaxrvae.report import Result, write_report
from jaxrvae.report.figures import MOST_FRAMES, examples, spread


@pytest.fixture(scope="module")
def result():
    """A run as short as it can be, of frames with an awkward name."""
    movie = jr.simulate("graphene", seed=1, num_frames=2, size=96, snr=4.0)
    frames = tuple(
        dataclasses.replace(frame, name=f"<b>{frame.number} & more</b>.tif")
        for frame in movie
    )
    movie = Frames(frames)
    atoms = with_brightness(jr.find_atoms(movie))
    patches = jr.cut_patches(movie, atoms, size=12, window=0.5, normalize="frame")
    model = jr.RVAE(pose=("rotation",), hidden_dim=8, num_turns=3)
    model.fit(patches, epochs=2, progress=False)
    classes = find_classes(model.encode(patches), num_classes=2)
    return Result(
        frames=movie,
        positions=atoms,
        patches=patches,
        latents=classes.latents,
        classes=classes,
        model=model,
        settings={"input": {"files": ["a"]}, "out": "here"},
        versions={"jaxrvae": "1.2.3"},
        timings={"read": 0.5, "train": 2.0},
    )


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(result, path)
    assert path.stat().st_size < 6e6
    return path.read_text()


def test_page_needs_nothing_beside_it(page):
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith("data:image/webp;base64,") for link in links)
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_every_image_can_be_read(page):
    for data in re.findall(r"base64,([^\"]*)", page):
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert min(picture.size) > 150
        assert np.ptp(np.asarray(picture)) > 100


def test_names_are_text_and_not_markup(page):
    assert "&lt;b&gt;0 &amp; more&lt;/b&gt;.tif" in page
    assert "<b>0 &" not in page


def test_numbers_are_those_of_the_result(page, result):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert f"{len(result.positions):,} atoms were found" in text
    assert f"{len(result.patches):,} have a whole window" in text
    dropped = result.patches.num_dropped
    assert f"The other {dropped:,} lie too near an edge" in text
    for count in result.classes.table["count"]:
        assert f" {count:,} " in text
    assert "1.2.3" in text
    assert "15.62 pm" in text
    assert "2.5 s" in text  # in all


def test_page_without_dropped_atoms(result, tmp_path):
    all_there = dataclasses.replace(result.patches, num_dropped=0)
    write_report(dataclasses.replace(result, patches=all_there), tmp_path / "r.html")
    assert "lie too near an" not in (tmp_path / "r.html").read_text()


def test_figures_large_are_few_and_spread():
    assert spread(1, MOST_FRAMES) == [0]
    many = spread(99, MOST_FRAMES)
    assert (many[0], many[-1], len(many)) == (0, 98, MOST_FRAMES)
    assert len(set(np.diff(many)) - {19, 20}) == 0


def test_examples_are_of_every_class(result):
    assert set(result.classes.labels[examples(result)]) == {0, 1}


def test_class_symmetry_is_an_order(result):
    assert len(result.symmetry) == 2
    assert all(order >= 1 for order in result.symmetry)


def test_missing_extra_is_named(result, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(jr.DataError, match=r'need jinja2.*pip install "jaxrvae\[rep'):
        write_report(result, tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pathways_have_their_section(result, tmp_path):
    number = len(result.patches)
    rng = np.random.default_rng(0)
    content = rng.normal(size=(number, 2)) * 0.4
    content[:, 0] += np.where(np.arange(number) % 2, -1, 1)
    latents = dataclasses.replace(result.latents, content=content.astype(np.float32))
    found = jr.find_pathways(
        latents, result.patches, result.model, num_states=2, num_bootstraps=2
    )
    assert found.images.shape[0] == len(found.states) == 2
    assert found.geodesics is not None
    assert found.strips.shape[:2] == (len(found.pairs), 9)
    path = tmp_path / "report.html"
    write_report(dataclasses.replace(result, pathways=found), path)
    text = path.read_text()
    assert "<h2>Pathways</h2>" in text
    assert "Share of every state" in text
    assert "need a column track" in text  # there are no tracks
