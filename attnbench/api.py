"""The tool from Python: two functions and what they return. Importing this loads neither torch nor onnxruntime."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.core.records import Record, Run

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.report.charts.drawing import Picture


@dataclass(frozen=True)
class StoredRun:
    """A run and the folder it is stored in."""

    run: Run
    folder: Path

    @property
    def records(self) -> tuple[Record, ...]:
        """All that is known of each case, in base units."""
        return self.run.records

    def to_frame(self) -> "pd.DataFrame":
        """One row a case and target, with the columns of cases.csv; ``report.frame.COLUMNS`` explains them."""
        from attnbench.report.frame import to_frame  # noqa: PLC0415  pandas is slow to import

        return to_frame(self.run)

    def to_markdown(self) -> str:
        """The report as Markdown."""
        from attnbench.report.markdown import render  # noqa: PLC0415

        return render(self.run)

    def to_html(self) -> str:
        """The report as one page with charts; needs the extra ``html``."""
        from attnbench.report.html import render  # noqa: PLC0415

        return render(self.run)

    def plot(self, kind: str, **asked: Any) -> "Picture":
        """A chart: heatmap, overhead, decomposition, pareto or npu; ``save`` writes it as SVG, PNG or PDF.

        ``asked`` are ``host`` and ``size`` where the run has several; ``place`` and ``module`` are lists of names and globs.
        Needs the extra ``html``.
        """
        from attnbench.report.pictures import picture  # noqa: PLC0415

        return picture(self.run, kind, **asked)

    def _repr_html_(self) -> str | None:
        """What a notebook shows: the run in a line and its heat maps; ``None`` without the extra."""
        from attnbench.report.charts.drawing import installed  # noqa: PLC0415

        if not installed():
            return None
        from attnbench.report.pictures import glance  # noqa: PLC0415

        return glance(self.run)


def run_study(
    study: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    quick: bool = False,
    wait: bool = True,
    **settings: Any,
) -> StoredRun:
    """Run a study and return it with its records; what an earlier, interrupted call recorded in ``out`` is kept.

    ``study`` is a TOML file, the name of a packaged study, or a mapping with a study's keys. ``settings`` are fields of
    ``core.protocol.Protocol`` and ``Effort`` and hold for every case. Without ``wait`` a machine that is being measured on
    is an ``InputError``. Failed cases are records with a reason; bad input raises ``InputError``.
    """
    from attnbench.measure.observer import Silent  # noqa: PLC0415
    from attnbench.measure.sweep import run_plan  # noqa: PLC0415
    from attnbench.study.file import find_study, read_study  # noqa: PLC0415
    from attnbench.study.plan import plan  # noqa: PLC0415

    asked = study if isinstance(study, Mapping) else read_study(find_study(str(study)))
    planned = plan(asked, quick=quick, overrides=settings)
    return StoredRun(*run_plan(planned, Path("results"), None if out is None else Path(out), Silent(), wait=wait))


def load_run(where: str | Path) -> StoredRun:
    """A run from its folder or file. Raises ``InputError`` where there is none."""
    from attnbench.runs.store import load_run as load  # noqa: PLC0415
    from attnbench.runs.store import run_path  # noqa: PLC0415

    return StoredRun(load(where), run_path(where).parent)
