"""Shards of one study to one run: what belongs together, which of two records holds, and the order they stand in.

Shards belong together that were cut from one study (``sweep --shard``), planned with the same settings, and measured by the
same software on machines of the same id; anything else is refused in one line that names the field. Two unfinished runs of
a whole study belong together in the same way. Where a case stands in several of them:

    a baseline      each shard measures those that it needs: the one with the most replicates is kept, and of equals the
                    one with the larger noise floor, so that the whole promises no more than its parts resolve
    any other       one that failed or still lacks replicates gives way; two finished ones are an error

Rejected: pooling the samples of two records (they come from two machines, and a replicate belongs to its own baseline).
"""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attnbench.core.errors import InputError
from attnbench.core.records import Case, Record, Run, RunHeader
from attnbench.runs.store import RUN_FILE, RunFile, open_run, read_run_file, run_path

DOCUMENT = ("name", "title", "targets", "matrix", "cases")
"""What the shards' studies must have in common, by the keys of a header's study."""

PASSING = ("id", "system", "distribution", "load", "run_to_run", "commit", "commit_time")
"""Facts of a machine and of software that their ids leave out."""


@dataclass(frozen=True)
class Shard:
    """A run to be merged, under the name its user gave it, with a hash of its file."""

    name: str
    file: RunFile
    run: Run
    sha256: str

    @property
    def header(self) -> RunHeader:
        """The run's header."""
        return self.file.header

    @property
    def places(self) -> dict[Case, int]:
        """Each case's place in the whole study; a run that is no shard is the whole study."""
        cases = self.header.cases
        cut = self.header.study.get("shard")
        return dict(zip(cases, cut["positions"] if cut else range(len(cases)), strict=True))


def merge(runs: Sequence[str | Path]) -> RunFile:
    """One run from its shards' files or folders; cases in the study's order. Raises ``InputError`` for what does not fit.

    The header's study then lists ``shards``: part, start, commit, number of cases and a hash of each file. Merged from all
    its shards, a run is the whole study's and may be continued by a sweep without ``--shard``.
    """
    shards = [_read(where) for where in runs]
    if len(shards) < 2:
        raise InputError("merge needs two runs at least: name the shards of a study")
    for number, shard in enumerate(shards):
        for earlier in shards[:number]:
            _check_together(earlier, shard)
    found: defaultdict[Case, list[tuple[Shard, Record]]] = defaultdict(list)
    places: dict[Case, int] = {}
    for shard in shards:
        places |= shard.places
        for record in shard.run.records:
            found[record.case].append((shard, record))
    if not found:
        raise InputError(f"nothing was measured in {', '.join(shard.name for shard in shards)}: there is nothing to merge")
    cases = tuple(sorted(places, key=lambda case: places[case]))
    lines = [line for case in cases if case in found for line in _kept(found[case]).file.lines_of(case)]
    records = {line.case: line for line in lines if isinstance(line, Record)}
    facts = tuple(line for line in lines if not isinstance(line, Record))
    return RunFile(_header(shards, cases, [places[case] for case in cases]), facts, records)


def keep(merged: RunFile, folder: Path) -> None:
    """Write a merged run to a folder that holds none yet, in one step: a full disk leaves none there."""
    if (folder / RUN_FILE).exists():
        raise InputError(f"{folder} holds a run already: choose another folder with --output")
    part = folder / ".part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        with open_run(part, merged.header) as writer:
            for line in (*merged.records.values(), *merged.facts):
                writer.append(line)
        writer.path.replace(folder / RUN_FILE)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _read(where: str | Path) -> Shard:
    file = read_run_file(where)
    return Shard(str(where), file, file.run, hashlib.sha256(run_path(where).read_bytes()).hexdigest())


def _check_together(one: Shard, two: Shard) -> None:
    """Raise ``InputError`` where two runs are no shards of one study."""
    if one.sha256 == two.sha256:
        raise InputError(f"{two.name} is the same run as {one.name}: name each shard once")
    for field, first, second in _differences(one, two):
        raise InputError(
            f"{two.name} cannot be merged with {one.name}: {field} differs: {_short(second)}, not {_short(first)}"
        )


def _differences(one: Shard, two: Shard) -> Iterator[tuple[str, Any, Any]]:
    """The fields in which two runs differ and must not, the most telling first."""
    first, second = one.header, two.header
    yield from _unequal("study", first.study, second.study, DOCUMENT)
    yield from _unequal("protocol", first.protocol, second.protocol)
    yield from _unequal("effort", first.effort, second.effort)
    for part in ("machine", "software"):
        facts, others = getattr(first, part), getattr(second, part)
        if facts.get("id") != others.get("id"):
            yield from _unequal(part, facts, others, [key for key in {**facts, **others} if key not in PASSING])
            yield f"{part}: id", facts.get("id"), others.get("id")
    if _whole(first) != _whole(second):
        yield "study: what it plans (hosts, sizes, or a case's own settings)", _whole(first), _whole(second)
    own, other = _sources(one.run), _sources(two.run)
    yield from _unequal("code", own, other, [name for name in own if name in other])


def _unequal(
    where: str, one: Mapping[str, Any], two: Mapping[str, Any], keys: Iterable[str] | None = None
) -> Iterator[tuple[str, Any, Any]]:
    for key in {**one, **two} if keys is None else keys:
        if one.get(key) != two.get(key):
            yield f"{where}: {key}", one.get(key), two.get(key)


def _whole(header: RunHeader) -> str | None:
    """What the whole study's run is known by; a run of before shards has its own fingerprint alone."""
    return header.study.get("study_fingerprint", header.study.get("fingerprint"))


def _sources(run: Run) -> dict[str, str]:
    """The hashes of the code that ran, by host and module."""
    return {name: mark for record in run.records for name, mark in record.sources.items()}


def _short(value: Any, most: int = 80) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _kept(found: Sequence[tuple[Shard, Record]]) -> Shard:
    """Of the shards that have a case, the one whose facts of it are kept."""
    finished = [(shard, record) for shard, record in found if record.status != "failed" and not record.pending]
    case = found[0][1].case
    if len(finished) > 1 and not case.is_baseline:
        names = " and in ".join(shard.name for shard, _ in finished[:2])
        raise InputError(f"case '{case.label}' is finished in {names}: each case may stand in one shard, leave one run out")
    return max(finished or found, key=lambda one: _worth(one[1]))[0]


def _worth(record: Record) -> tuple[bool, int, float]:
    """Not failed before failed, more replicates before fewer, and then the larger noise floor."""
    replicates = [len(m.samples) for m in record.measurements if m.metric in ("core_share", "overhead")]
    return record.status != "failed", max(replicates, default=0), record.value("floor_difference") or 0.0


def _header(shards: Sequence[Shard], cases: tuple[Case, ...], places: list[int]) -> RunHeader:
    first = shards[0].header
    efforts = {case: shard.header.efforts[str(at)] for shard in shards for at, case in enumerate(shard.header.cases)
               if str(at) in shard.header.efforts}  # fmt: skip
    own = {str(at): efforts[case] for at, case in enumerate(cases) if case in efforts}
    study = {key: value for key, value in first.study.items() if key not in ("fingerprint", "shard", "shards")}
    whole, cuts = _whole(first), [shard.header.study.get("shard") for shard in shards]
    total = max(cut["total"] if cut else len(shard.header.cases) for cut, shard in zip(cuts, shards, strict=True))
    study |= {"study_fingerprint": whole, "fingerprint": whole, "shards": [entry for s in shards for entry in _entries(s)]}
    if len(cases) < total:
        study["shard"] = {"part": "+".join(cut["part"] for cut in cuts if cut), "positions": places, "total": total}
        study["fingerprint"] = hashlib.sha256(f"{whole} {places}".encode()).hexdigest()[:16]
    return replace(first, started=min(shard.header.started for shard in shards), study=study, cases=cases, efforts=own)


def _entries(shard: Shard) -> list[dict[str, Any]]:
    """What a merged run says of a shard; one that is merged itself, of each of its own."""
    header = shard.header
    own = {
        "part": header.study.get("shard", {}).get("part", "all"),
        "started": header.started,
        "commit": header.software.get("commit", ""),
        "cases": len(header.cases),
        "sha256": shard.sha256,
    }
    return header.study.get("shards", [own])
