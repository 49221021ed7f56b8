"""The page: figures drawn, numbers put into words, all into one template."""

import base64
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.report.figures import GALLERY, MOST_FRAMES, MOST_GALLERIES, figures
from jaxrvae.report.motion import hop_rows
from jaxrvae.report.result import Result
from jaxrvae.report.ways import symmetry_word, way_words
from jaxrvae.training.checkpoint import write_atomically
from jaxrvae.viz.style import class_color

TEMPLATE = Path(__file__).with_name("page.html")
MOST_FILES = 12  # listed one by one


def write_page(result: Result, path: Path, folder: Path | None = None) -> None:
    """The page, and each figure as a PNG file where a folder is given."""
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"{path}: reports need {error.name}, which is not installed. Install it"
            ' with: pip install "jaxrvae[report]"'
        ) from error
    images = {}
    for name, figure in figures(result):
        png, images[name] = _drawn(figure)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            aside = folder / f".{name}.png"
            aside.write_bytes(png)
            aside.replace(folder / f"{name}.png")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text())
    write_atomically(path, template.render(images=images, **_words(result)))


def _drawn(figure: Any) -> tuple[bytes, str]:
    """The figure as PNG, and as a smaller WebP image for the page, in base64."""
    from PIL import Image

    png, small = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png")
    Image.open(png).convert("RGB").save(small, format="webp", quality=75)
    return png.getvalue(), base64.b64encode(small.getvalue()).decode()


def _words(result: Result) -> dict[str, Any]:
    """All that the template fills in."""
    movie, patches = result.frames, result.patches
    classes = result.class_table()
    settings = result.settings
    source = settings.get("input", {}).get("simulate")
    title = f"Simulated {source}" if source else _title(result)
    return {
        "title": title,
        "facts": _facts(result),
        "files": _files(result),
        "num_files_left": max(0, len(movie) - MOST_FILES),
        "classes": [_class_row(row) for row in classes.to_dict("records")],
        "num_frames": len(movie),
        "num_shown": min(MOST_FRAMES, len(movie)),
        "num_small": min(GALLERY * MOST_GALLERIES, len(movie)),
        "large": [frame.number for frame in movie],
        "num_classes": len(classes),
        "brightness": "brightness" in classes,
        "by_brightness": "brightness" in classes
        and settings.get("classes", {}).get("brightness", False),
        "bic": [
            {**row, "bic": f"{row['bic']:,.0f}"}
            for row in result.classes.bic.to_dict("records")
        ],
        "settings": _settings(settings),
        "versions": dict(result.versions),
        "timings": dict(result.timings),
        "total": sum(result.timings.values()),
        "dropped": patches.num_dropped,
        "num_positions": len(result.positions),
        "noun": result.noun,
        "domains": _domains(result),
        "hops": hop_rows(result),
        "ways": way_words(result),
        "model": result.model,
        "history": result.model.history,
    }


def _title(result: Result) -> str:
    names = [frame.name for frame in result.frames]
    if len(names) == 1:
        return names[0]
    files = result.settings.get("input", {}).get("files", [])
    folders = {Path(file).parent.name for file in files} - {""}
    if len(folders) == 1:
        return f"{folders.pop()}: {len(names)} images"
    return f"{names[0]} … {names[-1]}"


def _facts(result: Result) -> list[tuple[str, str]]:
    """The key figures, in reading order."""
    movie, patches, latents = result.frames, result.patches, result.latents
    history = result.model.history
    share = patches.num_dropped / max(len(result.positions), 1)
    size = patches.values.shape[1]
    side = _window(patches)
    return [
        ("frames", f"{len(movie)}"),
        ("pixel size", _pixel_sizes(result)),
        (f"{result.noun} found", f"{len(result.positions):,}"),
        ("patches", f"{len(patches):,}"),
        ("without full support", f"{patches.num_dropped:,} ({share:.0%}), left out"),
        ("window", f"{side}, {size} × {size} px"),
        ("classes", f"{len(result.classes)}"),
        (
            "angle, stated error",
            f"{np.degrees(np.median(latents.angle_std)):.2f}° (median)",
        ),
        ("loss", f"{history['loss'].iloc[-1]:.1f} nats a patch"),
        (
            "learned noise",
            f"{history['noise'].iloc[-1]:.2f} × the frame's spread"
            if patches.metadata.get("normalize")
            else f"{history['noise'].iloc[-1]:.3g}",
        ),
    ]


def _window(patches: Any) -> str:
    window = patches.metadata.get("window")
    if window is None:
        return "the frames' own pixels"
    unit = patches.metadata.get("window_unit", "nm")
    return f"{window:g} {unit}"


def _pixel_sizes(result: Result) -> str:
    sizes = {frame.pixel_size for frame in result.frames}
    known = sorted(size for size in sizes if size is not None)
    if not known:
        return "not known"
    low, high = known[0], known[-1]
    text = length_words(low)
    if high >= 1.001 * low:
        text += f" to {length_words(high)}"
    return text + (", some not known" if None in sizes else "")


def length_words(length: float) -> str:
    """A length in nm as a person says it.

    >>> length_words(0.015625), length_words(19.607)
    ('15.62 pm', '19.61 nm')
    """
    return f"{1000 * length:.4g} pm" if length < 1 else f"{length:.4g} nm"


def _files(result: Result) -> list[dict[str, str]]:
    counts = Counter(result.positions["frame"].tolist())
    kept = Counter(result.latents.table["frame"].tolist())
    rows = []
    for frame in result.frames[:MOST_FILES]:
        height, width = frame.shape[:2]
        size = frame.pixel_size
        pixel = "not known" if size is None else length_words(size)
        field = (
            ""
            if frame.pixel_size is None
            else (
                f"{width * frame.pixel_size:.3g} × {height * frame.pixel_size:.3g} nm"
            )
        )
        rows.append(
            {
                "name": frame.name,
                "number": str(frame.number),
                "shape": f"{height} × {width}",
                "pixel": pixel,
                "field": field,
                "found": str(counts[frame.number]),
                "patches": str(kept[frame.number]),
            }
        )
    return rows


def _domains(result: Result) -> list[dict[str, str]]:
    """Rows of the table of domains, in words; none where there is none."""
    if result.domains is None:
        return []
    known = all(frame.pixel_size is not None for frame in result.frames)
    unit = "nm" if known else "px"

    def number(value: float, text: str) -> str:
        return "" if np.isnan(value) else f"{value:,.4g} {text}".strip()

    return [
        {
            "frame": str(int(row["frame"])),
            "walls": str(int(row["walls"])),
            "length": number(row["length"], unit),
            "radius": number(1 / max(row["curvature"], 1e-9), unit),
            "positive": f"{row['positive']:.1%}",
            "displaced": number(row["displaced"], f"{unit}²"),
            "grown": number(row["grown"], f"{unit}²"),
        }
        for row in result.domains.to_dict("records")
    ]


def _class_row(row: dict[str, Any]) -> dict[str, str]:
    contents = [value for name, value in row.items() if name.startswith("content_")]
    return {
        "class": str(row["class"]),
        "color": class_color(int(row["class"])),
        "count": f"{row['count']:,}",
        "share": f"{row['share']:.1%}",
        "frames": str(row["frames"]),
        "brightness": f"{row.get('brightness', np.nan):.2f}",
        "symmetry": symmetry_word(row["symmetry"]),
        "probability": f"{row['probability']:.2f}",
        "content": ", ".join(f"{value:+.2f}" for value in contents),
    }


def _settings(settings: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    groups = []
    for name, values in settings.items():
        if not isinstance(values, dict):
            groups.append((name, [("", str(values))]))
            continue
        shown = []
        for key, value in values.items():
            if isinstance(value, list) and len(value) > 4:
                value = f"{value[0]} … {value[-1]} ({len(value)})"
            shown.append((key, str(value)))
        groups.append((name, shown))
    return groups
