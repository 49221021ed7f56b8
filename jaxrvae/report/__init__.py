"""One self-contained page that shows a run."""

from pathlib import Path

from jaxrvae.report.page import write_page
from jaxrvae.report.result import Result

__all__ = ["Result", "write_report"]


def write_report(result: Result, path: str | Path) -> None:
    """One HTML file with tables, settings and every figure inside.

    It needs nothing beside it, opens in any browser and prints.

    Raises:
        DataError: matplotlib or jinja2 is not installed (`pip install
            "jaxrvae[report]"`).
    """
    write_page(result, Path(path))
