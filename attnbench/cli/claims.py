"""The command that answers for documents: ``claims``. It counts and asks targets itself, and reads stored runs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli.answer import AllOption, FormatOption, OutputOption, answer
from attnbench.cli.app import app, example
from attnbench.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnbench.core.records import Case, Record
    from attnbench.judge.readings import JudgedDocumentClaim, StudyRun
    from attnbench.measure.describe import Describer
    from attnbench.study.claims import ClaimReading, ClaimsFile


@app.command(
    short_help="Judge what documents claim in numbers.",
    epilog=example("attnbench claims", "attnbench claims --measure --output claims.md"),
)
def claims(
    file: Annotated[Path | None, typer.Argument(help="A file of claims.", show_default="those that come with it")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="First run the studies whose figures are missing.")] = False,
    results: Annotated[Path, typer.Option(help="The folder of stored runs.")] = Path("results"),
    format_: FormatOption = "table",
    output: OutputOption = None,
    all_: AllOption = False,
) -> None:
    """Judge every numeric claim of the design documents: by arithmetic, counts, NPU targets and stored runs.

    Exit codes: 0 answered, whatever the verdicts, 2 bad input.
    """
    from attnbench.report import documents  # noqa: PLC0415
    from attnbench.study.claims import read_claims  # noqa: PLC0415

    if file is not None and file.is_dir():
        raise InputError(f"claims: {file} is a folder, no file of claims: `attnbench report {file}` judges those of a run")
    found = read_claims(file)
    judged = _judged(found, results)
    if measure and (missing := _missing(judged)):
        _sweep(missing, results)
        judged = _judged(found, results)
    answer(format_, output, documents.answer(found.documents, judged), everything=all_)


def _judged(found: "ClaimsFile", results: Path) -> "list[JudgedDocumentClaim]":
    from attnbench.judge.readings import judge_documents  # noqa: PLC0415
    from attnbench.measure.describe import describing  # noqa: PLC0415

    with describing() as describer:
        return judge_documents(found.claim, _Evidence(found, describer, results))


def _missing(judged: "Iterable[JudgedDocumentClaim]") -> list[str]:
    """The studies that would measure what is not measured."""
    from attnbench.judge.readings import UNMEASURED  # noqa: PLC0415

    return list(dict.fromkeys(r.reading.study for one in judged for r in one.readings if r.verdict == UNMEASURED))


def _sweep(studies: Iterable[str], results: Path) -> None:
    """Measure each study into its own folder; one with failed cases leaves their claims open."""
    from attnbench.cli.progress import INTERRUPTED  # noqa: PLC0415
    from attnbench.cli.sweep import sweep  # noqa: PLC0415

    for study in studies:
        try:
            sweep(study, out=results / study)
        except typer.Exit as end:
            if end.exit_code == INTERRUPTED:
                raise


class _Evidence:
    """The tool's own counters and targets, and the runs below a folder: each case and each study is looked at once."""

    def __init__(self, found: "ClaimsFile", describer: "Describer", results: Path) -> None:
        self.functions: Mapping[str, Callable[..., float]] = {"macs": describer.macs, "params": describer.params}
        self._describer, self._results = describer, results
        self._runs: dict[str, list[StudyRun]] = {}
        self._described: dict[tuple[str, str, str], dict[Case, Record]] = {}
        self._targets: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
        for reading in (reading for claim in found.claim for reading in claim.reading if reading.metric == "npu_verdict"):
            self._targets[reading.asked].add(reading.target)

    def described(self, reading: "ClaimReading") -> "dict[Case, Record]":
        if reading.asked not in self._described:
            self._described[reading.asked] = self._describer.records(reading.plan(self._targets[reading.asked]))
        return self._described[reading.asked]

    def runs(self, study: str) -> "Sequence[StudyRun]":
        from attnbench.judge.readings import StudyRun  # noqa: PLC0415
        from attnbench.runs.store import runs_of_study  # noqa: PLC0415

        if study not in self._runs:
            stored = runs_of_study(self._results, study)
            self._runs[study] = [StudyRun(folder.as_posix(), run) for folder, run in stored]
        return self._runs[study]
