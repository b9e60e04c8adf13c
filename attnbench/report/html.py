"""The report that people look at: one HTML file with charts, which opens anywhere. It needs the extra ``html``."""

from attnbench.core.records import Run
from attnbench.report import ReportFormat


def render(run: Run) -> str:
    """The run as one HTML page. Raises ``InputError`` where the extra is not installed."""
    from attnbench.report.charts import drawing  # noqa: PLC0415  reading runs otherwise does without all this
    from attnbench.report.page.run import page_of  # noqa: PLC0415

    drawing.required("--format html")
    return page_of(run).html()


ENTRIES = (ReportFormat(name="html", file="report.html", render=render, summary="one page with charts, for a browser"),)
