"""Which cases share a graph: *panels* of cases at places that do not touch, and those that go alone.

Who stands beside whom is drawn anew for each replicate, so that what neighbours do to each other is in the interval.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from attnbench.core.grammar import parse_variant
from attnbench.core.records import INT8, Case
from attnbench.runs.facts import BuiltFact
from attnbench.runs.ledger import Ledger
from attnbench.study.plan import PlannedCase

HEAVY = 0.5
"""A case goes alone where it moves so many times the bytes of its baseline more, or holds so many times its memory more."""

TINY, SMALL = 4e8, 5e9
"""MACs. In a network of fewer than ``TINY`` each case goes alone, below ``SMALL`` no two with one module share a graph. The
first case in a run fetches the code of its kernels into the processor's caches, up to 20 us a node, and another finds it
there: alone it would not. In a network that runs for 10 ms that is a tenth of what a small module costs, whatever other
modules are; in a larger one it shows between cases with the same module alone (``benchmarks/calibration/panels.py``)."""

INT8_GAIN = 1.8
"""How many times as fast ResNetSAN01 runs in int8 (``results/runtimes``): a network counts for so many times fewer MACs."""

PASS_SEED = 2_026


def split(ledger: Ledger, lacking: Iterable[PlannedCase], number: int) -> tuple[list[list[Case]], list[Case]]:
    """Cases of one host and size that lack a replicate, as panels and as cases alone."""
    rooms = {planned.case: room(ledger, planned) for planned in lacking}
    together = {case: taken for case, taken in rooms.items() if taken is not None}
    panels = pack(list(together), together.__getitem__, number)
    alone = [case for case in rooms if case not in together]
    return [panel for panel in panels if len(panel) > 1], alone + [panel[0] for panel in panels if len(panel) == 1]


def graphs(ledger: Ledger, lacking: Iterable[PlannedCase]) -> int:
    """How many graphs these cases come to, at least: the panels without who is in which, and those alone."""
    rooms = [room(ledger, planned) for planned in lacking]
    return rooms.count(None) + most_wanted(taken for taken in rooms if taken is not None)


def room(ledger: Ledger, planned: PlannedCase) -> frozenset[str] | None:
    """What a case has of a panel to itself; ``None`` where it goes alone."""
    case = planned.case
    found: frozenset[str] | None = ledger.settled(
        ("room", case), lambda: None if goes_alone(ledger, planned) else takes(ledger, case)
    )
    return found


def pack(cases: Sequence[Case], takes: Callable[[Case], frozenset[str]], number: int) -> list[list[Case]]:
    """Cases as panels: no two of one panel take the same thing. Who is together depends on ``number`` alone.

    There are as many panels as the most wanted thing has cases, and more only where they do not fit.
    """
    if not cases:
        return []
    draw = random.Random(f"{PASS_SEED} {number} {cases[0].baseline.label}")  # noqa: S311  an order, not a secret
    rooms = {case: takes(case) for case in cases}
    shuffled = draw.sample(list(cases), len(cases))
    shuffled.sort(key=lambda case: -len(rooms[case]))  # those that take much while there is room
    panels: list[list[Case]] = [[] for _ in range(most_wanted(rooms.values()))]
    taken: list[set[str]] = [set() for _ in panels]
    for case in shuffled:
        fitting = [index for index, there in enumerate(taken) if not there & rooms[case]]
        if not fitting:
            panels.append([])
            taken.append(set())
            fitting = [len(panels) - 1]
        fewest = min(len(panels[index]) for index in fitting)
        index = draw.choice([index for index in fitting if len(panels[index]) == fewest])
        panels[index].append(case)
        taken[index] |= rooms[case]
    return [panel for panel in panels if panel]


def most_wanted(rooms: Iterable[frozenset[str]]) -> int:
    """How many cases want the most wanted of the things that each takes; 1 where they want none, 0 of no case."""
    taken = list(rooms)
    return max(Counter(chain.from_iterable(taken)).values(), default=min(1, len(taken)))


def panel_name(cases: Sequence[Case], number: int) -> str:
    """A name for a graph of several cases, that tells it from any other of the run."""
    return hashlib.sha256(f"{number} {tuple(cases)}".encode()).hexdigest()[:8]


def goes_alone(ledger: Ledger, planned: PlannedCase) -> bool:
    """Whether a case gets a graph of its own: as asked, in a tiny network, where it is heavy or was sent apart twice."""
    own, baseline = (ledger.known(one).built for one in (planned.case, planned.case.baseline))
    if planned.effort.alone or len(ledger.known(planned.case).apart) > 1:
        return True
    if own is None or baseline is None or not own.regions or _macs(planned.case, baseline) < TINY:
        return True
    return any(own.figure(metric) > (1 + HEAVY) * baseline.figure(metric) for metric in ("bytes_moved", "activation_peak"))


def takes(ledger: Ledger, case: Case) -> frozenset[str]:
    """What a case has of a panel to itself: the regions of its places and, in a small network, its modules."""
    own, baseline = (ledger.known(one).built for one in (case, case.baseline))
    taken = set(own.regions if own else ())
    if baseline and _macs(case, baseline) < SMALL:
        taken |= {f"module {module.name}" for part in parse_variant(case.variant).assignments for module in part.modules}
    return frozenset(taken)


def _macs(case: Case, baseline: BuiltFact) -> float:
    """MACs of the network, or of one that takes as long in floats."""
    return baseline.figure("macs") / (INT8_GAIN if case.dtype == INT8 else 1)
