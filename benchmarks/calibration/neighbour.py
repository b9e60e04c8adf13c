"""CI beside busy neighbours: what ``attnbench compare`` says of the same code where others keep the cores busy.

The quick study runs once on a machine that is idle otherwise, and then beside as many processes as there are cores, which
go through memory without a pause: they take about half of each core, and much of the caches. Every alarm is a false one.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any

from history import stored, sweep
from judged import FIRST, Sample, alarm_row, samples
from lab import experiment, table

from attnbench.core.records import Run
from attnbench.measure import machine as environment

RUNS = 6

BUSY = "import numpy; a = numpy.ones(2**23)\nwhile True: a += 1"
"""A neighbour: 64 MB, read and written again and again."""


def run(quick: bool) -> dict[str, Any]:
    """A run alone, then the others beside the neighbours."""
    with tempfile.TemporaryDirectory(prefix="attnbench-") as name:
        scratch = Path(name)
        runs = [sweep(scratch / "alone", None, scratch)]
        with neighbours(environment.machine()["cores"]):
            runs += [sweep(scratch / f"busy-{number}", None, scratch) for number in range(1 if quick else RUNS)]
    return stored([("", run) for run in runs])


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """So many busy processes meanwhile."""
    with ExitStack() as stack:
        for _ in range(number):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY]))
            stack.callback(process.kill)
        yield


def page(raw: dict[str, Any]) -> str:
    """False alarms, and how far the figures lie from those of the run alone."""
    found = samples(raw)
    alone, busy = found[0].run, [one.run for one in found[1:]]
    text = (
        f"One run alone, and {len(busy)} beside neighbours, in which the worst process of a case had "
        f"{core_share(busy):.0f} % of its core (alone {core_share([alone]):.0f} %; medians over cases)."
    )
    return "\n\n".join((text, table([alarm_row(found, FIRST)]), "The overheads themselves:", table(rows(found))))


def core_share(runs: Sequence[Run]) -> float:
    """What the worst timing process of a case had of its core, in percent: the median over cases."""
    shares = [record.value("core_share") for run in runs for record in run.records]
    return 100 * median(share for share in shares if share is not None)


def rows(found: Sequence[Sample]) -> Iterator[dict[str, str]]:
    """By variant, the overhead alone and beside the neighbours."""
    for record in found[0].run.records:
        figures = [other.value("overhead") for one in found for other in one.run.records if other.case == record.case]
        points = [100 * figure for figure in figures if figure is not None]
        if points:
            yield {
                "variant": record.case.variant,
                "alone (%)": f"{points[0]:.3f}",
                "beside neighbours, mean (%)": f"{fmean(points[1:]):.3f}",
                "from, to (%)": f"{min(points[1:]):.3f}, {max(points[1:]):.3f}",
            }


if __name__ == "__main__":
    experiment("CI beside busy neighbours: false alarms of compare", run, page)
