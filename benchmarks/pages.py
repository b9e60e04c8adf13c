"""Example pages from the committed results: ``python benchmarks/pages.py [FOLDER]``, by default ``results/pages``.

- ``results/report/report.html``, beside the report that it is made from;
- ``comparison.html``: a run of code in which one module has become slower by about 1 %, against one of the code as it was;
- ``history.html``: runs of the code as it was, and then those with the slower module.

The last two are measured runs of ``results/calibration/history.json``; nothing in them is made up.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "calibration"))

from judged import Sample, samples

from attnbench import load_run
from attnbench.judge.compare import compare
from attnbench.judge.track import track
from attnbench.report import comparison, trends
from attnbench.runs.store import open_run

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "results" / "pages"

SLOWER = "encoder.layer3=self_attention"
"""The variant that becomes slower in the examples."""


EXPERIMENT = (
    "The runs are of an experiment, and have no commits: the last ones ran from a copy of the package in which one module "
    "had been made slower on purpose. Where a run knows its commit, the picture and the table name it."
)
"""What a reader of the history must know."""


def main(folder: Path) -> list[Path]:
    """Write the pages and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    found = samples(json.loads((ROOT / "results" / "calibration" / "history.json").read_text()))
    texts = {
        ROOT / "results" / "report" / "report.html": load_run(ROOT / "results" / "report").to_html(),
        folder / "comparison.html": comparison_page(found),
        folder / "history.html": history_page(found),
    }
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def comparison_page(found: list[Sample]) -> str:
    """The first run with the slower module against the first run of the code as it was."""
    slower = next(one for one in found if one.slower == SLOWER)
    names = ("the code as it was", f"{SLOWER} made slower")
    return comparison.answer(compare(found[0].run, slower.run, names=names), everything=True).html()


def history_page(found: list[Sample]) -> str:
    """The runs of the code as it was up to the first with the slower module, and then all that have it."""
    first = next(at for at, one in enumerate(found) if one.slower == SLOWER)
    kept = [one for at, one in enumerate(found) if one.slower == SLOWER or (not one.slower and at < first)]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for at, one in enumerate(kept):
            with open_run(Path("runs", f"{at:03}"), one.run.header) as writer:
                for record in one.run.records:
                    writer.append(record)
        found = trends.answer(track(Path("runs")))
        return found._replace(notes=(*found.notes, EXPERIMENT)).html()


if __name__ == "__main__":
    for page in main(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGES):
        print(page, f"{page.stat().st_size:,} bytes")
