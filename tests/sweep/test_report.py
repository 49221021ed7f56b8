import numpy as np
import pandas as pd
import pytest

from jaxrvae.sweep.report import write_sweep_report
from jaxrvae.sweep.texts import escaped, latex_table, markdown_table, plus_minus


def sweep_of(settings, num_seeds=6, **constants):
    """R of these (decoder, beta); affine is worse by 0.1."""
    rng = np.random.default_rng(0)
    decoder, beta = (np.repeat(own, num_seeds) for own in zip(*settings, strict=True))
    num = len(decoder)
    length = 0.9 - 0.1 * (decoder == "affine") + 0.01 * rng.normal(size=num)
    columns = {
        "id": [f"{i:012x}" for i in range(num)],
        "config.model.decoder": decoder,
        "config.objective.beta": beta,
        "config.model.hidden_dims": "[128, 128]",
        "config.model.seed": np.tile(np.arange(num_seeds), num // num_seeds),
        "metric.R, worst": length,
        "metric.median angle error, worst, degrees": 30 * (1 - length),
        "metric.R, 50 % & more_": length,
        "seconds": rng.uniform(50, 60, num),
        "device": "cpu",
        "commit": "abc123",
        "version.jax": "0.10.1",
        "attempts": 1,
        "finished": "2026-01-01T00:00:00+00:00",
    }
    return pd.DataFrame(columns).assign(**constants)


GRID = [(decoder, beta) for decoder in ("spatial", "affine") for beta in (1.0, 2.0)]


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A report with everything that can be wrong with a sweep, and its folder."""
    table = sweep_of(GRID).drop([13])
    table.loc[0, "commit"] = "abc124+"
    table.loc[1, "device"] = "NVIDIA H200"
    table.loc[2, "attempts"] = 2
    table.loc[3, [name for name in table if name.startswith("metric.")]] = np.nan
    failures = pd.DataFrame({"id": ["a", "b"], "error": ["loss is NaN"] * 2})
    folder = tmp_path_factory.mktemp("report")
    path = write_sweep_report(table, folder, name="decoders", failures=failures)
    assert path == folder / "report.md"
    return path.read_text(encoding="utf-8"), folder


def test_the_page_can_be_read_alone(reported):
    text, folder = reported
    assert text.startswith("# Sweep: decoders\n\n23 points: 4 settings, 6 seeds.")
    assert "Best by R, worst: decoder = spatial" in text
    assert "| `model.decoder` | spatial, affine | spatial |" in text
    assert "Held fixed: 1 setting (tables/fixed.csv). Seeds: `model.seed`." in text
    assert "1 of 2 are beyond chance" in text
    assert "model.decoder = affine (worse)" in text
    assert "differ from it in several factors: 1 setting." in text
    assert "Student's 95 % interval" in text
    for name in ("effects", "parallel", "pareto", "grid_r_worst"):
        assert f"](figures/{name}.png)" in text
        for kind in ("png", "pdf"):
            assert (folder / "figures" / f"{name}.{kind}").stat().st_size > 2000


def test_what_is_wrong_is_said_first(reported):
    text, _ = reported
    problems = text.split("## Read first")[1].split("##")[0]
    for said in (
        "2 points failed and are in none of the numbers: 'loss is NaN' (2).",
        "1 point in the table without any metric.",
        "beta = 1 (seed 3)",
        "beta = 1 (seed 1)",
        "Mixed device: cpu (22), NVIDIA H200 (1). Times and memory are not comparable",
        "Mixed commit: abc123 (22), abc124+ (1).",
        "changes that are not recorded",
        "1 point took more than one attempt.",
    ):
        assert said in problems
    assert "Mixed jax" not in problems


def test_tables_hold_all_numbers(reported):
    text, folder = reported
    summary = pd.read_csv(folder / "tables/summary.csv")
    assert set(summary["metric"]) == {
        "R, worst",
        "median angle error, worst, degrees",
        "seconds",
    }
    effects = pd.read_csv(folder / "tables/effects.csv")
    assert len(effects) == 4
    fixed = pd.read_csv(folder / "tables/fixed.csv")
    assert fixed.to_numpy().tolist() == [["model.hidden_dims", "[128, 128]"]]
    row = summary.iloc[0]
    cell = plus_minus(row["mean"], row["high"] - row["mean"])
    assert f"| {cell} [" in text
    for name in ("summary", "effects"):
        lines = (folder / f"tables/{name}.tex").read_text().splitlines()
        layout = lines[2].removeprefix(r"\begin{tabular}{").removesuffix("}")
        cells = {line.count(" & ") + 1 for line in lines if line.endswith(r"\\")}
        assert cells == {len(layout)}
        assert r"\toprule" in lines
        assert "±" not in "".join(lines)


def test_a_sound_sweep_has_nothing_to_read_first(tmp_path):
    text = write_sweep_report(
        sweep_of(GRID), tmp_path / "new" / "folder", "R, worst"
    ).read_text()
    assert "Read first" not in text


def test_one_point_is_reported_without_comparison(tmp_path):
    text = write_sweep_report(sweep_of(GRID, 1).iloc[:1], tmp_path).read_text()
    assert "one point only: no comparison is possible" in text
    assert "no interval can be given" in text
    assert "## Effects" not in text
    assert "## Figures" not in text
    assert not (tmp_path / "tables/effects.tex").exists()


def test_figures_of_an_earlier_report_do_not_stay(tmp_path):
    write_sweep_report(sweep_of(GRID), tmp_path, "R, worst")
    assert (tmp_path / "figures/grid_r_worst.png").exists()
    text = write_sweep_report(sweep_of(GRID[:1]), tmp_path).read_text()
    assert "figures/grid" not in text
    assert not list((tmp_path / "figures").iterdir())


def test_seeds_alone_are_reported_without_comparison(tmp_path):
    text = write_sweep_report(sweep_of(GRID[:1]), tmp_path, "R, worst").read_text()
    assert "Nothing but the seed varies: no comparison is possible." in text
    assert "| seeds | R, worst | time (s) |" in text


def test_settings_that_differ_in_everything_are_not_compared(tmp_path):
    table = sweep_of([("spatial", 1.0), ("affine", 2.0), ("steerable", 2.0)])
    text = write_sweep_report(table, tmp_path, "R, worst").read_text()
    assert "differ from it in several factors: 2 settings." in text
    assert "nothing to compare" in text


def test_bad_input_is_refused_before_anything_is_written(tmp_path):
    table = sweep_of(GRID)
    with pytest.raises(ValueError, match="Did you mean 'R, worst'"):
        write_sweep_report(table, tmp_path / "no", "R worst")
    with pytest.raises(ValueError, match="no rows"):
        write_sweep_report(table[:0], tmp_path / "no")
    with pytest.raises(ValueError, match="factor of the baseline"):
        write_sweep_report(table, tmp_path / "no", baseline={"model.decodr": 1})
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_ten_thousand_points_are_reported(tmp_path):
    rng = np.random.default_rng(1)
    settings = [
        (str(rng.choice(["spatial", "affine"])), float(beta))
        for beta in rng.uniform(size=2000)
    ]
    table = sweep_of(settings, 5)
    assert len(table) == 10_000
    path = write_sweep_report(table, tmp_path)
    text = path.read_text()
    assert "1,970 more settings are in tables/summary.csv" in text
    assert len(pd.read_csv(tmp_path / "tables/summary.csv")) == 3 * 2000
    assert len(text) < 60_000
    for name in ("effects", "parallel", "pareto"):
        assert (tmp_path / f"figures/{name}.pdf").stat().st_size < 1e6


def test_latex_is_escaped():
    assert escaped(r"50 % & a_b #1 $x {y} ~ ^ \z") == (
        r"50 \% \& a\_b \#1 \$x \{y\} \textasciitilde{} \textasciicircum{}"
        r" \textbackslash{}z"
    )
    assert escaped("-1.5 to -.2, k-NN 1e-05 < 3-4") == (
        r"$-$1.5 to $-$.2, k-NN 1e-05 \textless{} 3-4"
    )
    text = latex_table(["a_b", "n"], [["x&y", "-2"]], note="one\ntwo")
    assert (
        text.splitlines()
        == [
            r"% needs \usepackage{booktabs}",
            "% one",
            "% two",
            r"\begin{tabular}{lr}",
            r"\toprule",
            r"a\_b & n \\",
            r"\midrule",
            r"x\&y & $-$2 \\",
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ][:-1]
    )


def test_markdown_cells_keep_their_bars():
    text = markdown_table(["a", "b"], [["x|y", "1"]])
    assert text.splitlines() == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


@pytest.mark.parametrize(
    ("mean", "half", "words"),
    [
        (0.95312, 0.0123, "0.953 ± 0.012"),
        (1234.5, 56.0, "1234 ± 56"),
        (-262.28, 0.65, "-262.28 ± 0.65"),
        (0.5, 0.0, "0.5 ± 0"),
        (0.5, float("nan"), "0.5"),
        (float("nan"), 1.0, "–"),
        (1e-9, 1e-10, "1e-09 ± 1e-10"),
    ],
)
def test_means_have_the_figures_of_their_intervals(mean, half, words):
    assert plus_minus(mean, half) == words
