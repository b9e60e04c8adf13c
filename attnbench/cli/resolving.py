"""What ``sweep --resolve`` asks for: the run that a new one is to be told from, and how many replicates that lacks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.cli.answer import named_run
from attnbench.core.errors import InputError
from attnbench.core.records import Case, Run
from attnbench.core.units import counted

if TYPE_CHECKING:
    from attnbench.judge.compare import FailOn
    from attnbench.measure.executor import Executor
    from attnbench.study.plan import Plan

MOST_MORE = 50
"""Replicates more that one case is worth: what wants more of them lies at the threshold, or scatters too much."""


@dataclass(frozen=True)
class Reference:
    """The run that a new one is to be told from, and by which thresholds."""

    base: Run
    name: str
    fail_on: "FailOn"

    def lacking(self, run: Run) -> dict[Case, int]:
        """By case how many replicates more would resolve its overhead; what would take too many is left as it is."""
        from attnbench.judge.compare import compare  # noqa: PLC0415

        found = compare(self.base, run, self.fail_on).replicates_lacking
        return {case: number for case, number in found.items() if number <= MOST_MORE}

    def outcome(self, run: Run, folder: Path) -> str:
        """What is still unresolved, in words."""
        from attnbench.judge.compare import compare  # noqa: PLC0415

        left = len(compare(self.base, run, self.fail_on).unresolved)
        return f"{counted(left, 'figure')} not resolved beside {self.name}: attnbench compare {self.name} {folder} says more"


def reference_of(
    plan: "Plan", resolve: str | None, fail_on: list[str] | None, results: Path, there: "Executor"
) -> Reference | None:
    """What ``--resolve`` names. Raises ``InputError`` where its overheads would not compare with those of the plan."""
    from attnbench.judge.compare import parse  # noqa: PLC0415
    from attnbench.judge.compare.match import unlike  # noqa: PLC0415
    from attnbench.measure.header import about, make_header, runtimes_of  # noqa: PLC0415

    if resolve is None:
        if fail_on:
            raise InputError("--fail-on says by what --resolve compares: name a run with --resolve, too")
        return None
    base, name = named_run(resolve, results)
    if why := unlike(base.header, make_header(plan, about(there, runtimes_of(plan)))):
        raise InputError(f"--resolve {resolve}: no overhead of it can be compared here: {why}")
    return Reference(base, name, parse(fail_on or []))
