"""Names for the kinds of runs that are kept apart: as short as tells them apart."""

from collections.abc import Iterable, Mapping

from attnbench.judge.track.reading import Kind


def labels(kinds: Iterable[Kind]) -> dict[Kind, str]:
    """Each kind by its machine's id, and by what else of it differs among those given."""
    found = list(dict.fromkeys(kinds))
    facts = [_facts(kind) for kind in found]
    telling = [name for name in facts[0] if len({one[name] for one in facts}) > 1] if facts else []
    return {kind: ", ".join((kind.machine, *_told(one, telling))) for kind, one in zip(found, facts, strict=True)}


def _facts(kind: Kind) -> dict[str, str]:
    return {"protocol": kind.protocol, **dict(kind.settings), **dict(kind.software)}


def _told(facts: Mapping[str, str], telling: Iterable[str]) -> Iterable[str]:
    return (f"{name} {facts[name]}" for name in telling)
