"""NPU profiles as data, one TOML a target, and the predicates their rules may name.

A profile restates facts about which ONNX ops a chip's tool chain takes, each with its evidence and the place it was read.
An unknown key, level or evidence is an error that names the file and the rule. What needs ONNX to be known (ops, predicates
and what each takes) is validated where a target is loaded for judging, in ``npu/targets.py``.

    [target]
    name, title, vendor, chip, version, date      what it is, and of when
    document, source                              what was read, and where it can be read (repository, path, commit; page)
    unlisted                                      what an op without a rule means: unknown, error, or fallback:<where>
    beyond                                        what a broken limit means: the same words; by default as unlisted, or
                                                  error where that is unknown
    opset                                         the newest opset of ONNX that the document speaks of
    types                                         the element types that it speaks of; by default those of a network that
                                                  is quantised: float32, float16, int8, uint8
    limits                                        predicates that every node on the NPU must meet, whatever its rule
    folding                                       where the document says that a sum or a batch normalisation by constants
                                                  behind a convolution becomes part of it; left out, that is an assumption
    open                                          what the document leaves open that bears on every verdict, a sentence each

    [[rule]]
    id, ops, level                                level: supported, constrained, unknown, refused, fallback:<where>
    where, limits, advice                         predicates: which nodes the rule is for, what they must meet, and what
                                                  they should meet to run efficiently
    beyond                                        this rule's own word for a broken limit
    evidence, section, reason                     on whose word, where in the document, and the fact in our own words

    [[quantised]]
    the same keys                                 what holds beside that in a network that is quantised: of nodes that
                                                  compute in integers, or, with where.stayed_float, of those that stayed
                                                  float; ops may be "*" for all, and QuantizeLinear, QLinearConv and
                                                  DynamicQuantizeLinear stand for a file of that form as such

The first rule that names a node's op and whose ``where`` holds is the one that judges it. An op whose rules are all for
other nodes is beyond the profile, as a broken limit is. Ops are ONNX's, and the composites that are recognised before
their parts are judged carry ONNX's names too: ``HardSwish``, ``Gelu``, ``LayerNormalization``, ``Swish``, ``Attention``.
"""

import datetime as dt
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

from msgspec import field
from msgspec.structs import asdict

from attnbench.core.catalogue import entry_points, pass_over
from attnbench.core.errors import InputError, UnknownName
from attnbench.core.records import Level
from attnbench.core.users import users_code
from attnbench.core.validation import Strict, validate

LEVELS = ("supported", "constrained", "unknown", "refused", "fallback:<where>")
POLICIES = ("unknown", "error", "fallback:<where>")
FOLDER = Path(__file__).parent
GROUP = "attnbench.targets"
EVERY = "*"
"""In place of an op, in a rule on quantised networks: every op."""


class Rule(Strict, frozen=True, eq=False):
    """What a target says of some ops. It is equal to nothing but itself.

    ``level`` is ``supported``, ``constrained`` (supported, but under a condition that the source warns of), ``unknown`` (the
    source names the op and leaves its fate open), ``refused``, or ``fallback:<where>`` (run elsewhere than on the NPU).
    ``limits`` must be met, or ``beyond`` is the level; ``advice`` should be. Both, and ``where``, which says what nodes the
    rule is for, map a predicate's name to its argument.
    """

    id: str
    ops: tuple[str, ...]
    level: str
    beyond: str
    evidence: Literal["vendor-doc", "vendor-source", "third-party", "report", "presumed"]
    section: str
    reason: str
    where: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    advice: Mapping[str, Any] = field(default_factory=dict)


def level_of(word: str) -> tuple[Level, str]:
    """The level that a profile's word means, and for ``fallback:<where>`` where; ``error`` means refused."""
    level, _, device = word.partition(":")
    return ("refused" if level == "error" else level), device  # type: ignore[return-value]


class TargetHead(Strict, frozen=True):
    """Where a profile comes from, and what it says of all nodes, of ops without a rule and of broken limits."""

    name: str
    title: str
    vendor: str
    chip: str
    version: str
    date: str
    document: str
    source: str
    unlisted: str
    beyond: str
    opset: int | None = None
    types: tuple[str, ...] = ("float32", "float16", "int8", "uint8")
    limits: Mapping[str, Any] = field(default_factory=dict)
    folding: str = ""
    open: tuple[str, ...] = ()


class Target(TargetHead, frozen=True, eq=False):
    """A profile: its head and its rules. It is read once a process, and equal to nothing but itself."""

    rules: tuple[Rule, ...] = ()
    quantised: tuple[Rule, ...] = ()

    def rules_for(self, op: str) -> list[Rule]:
        """The rules that name an op, in the file's order."""
        return [rule for rule in self.rules if op in rule.ops]

    def place_of(self, rule: Rule | None) -> str:
        """Where a rule is read from: the document and its section; without a rule the document alone."""
        return f"{self.document}, section {rule.section}" if rule else self.document


class TargetFile(Strict, frozen=True):
    """A profile's two kinds of tables, before each is validated by itself so that a mistake names its rule."""

    target: dict[str, Any]
    rule: list[Any] = field(default_factory=list)
    quantised: list[Any] = field(default_factory=list)


def find_targets() -> dict[str, Path | EntryPoint]:
    """By name, each target's file or the entry point that knows it."""
    own, others = {path.stem: path for path in FOLDER.glob("[!_]*.toml")}, entry_points(GROUP)
    for name in sorted(own.keys() & others.keys()):
        pass_over(f"target '{name}' is built in: entry point {others[name].value} of that name is passed over; rename it")
    return {**others, **own}


class WithoutTable(Strict, frozen=True):
    """An NPU without a target: what was looked at, when, and why no profile can be made from it."""

    chip: str
    vendor: str
    looked: str
    date: str
    reason: str


class _WithoutTables(Strict, frozen=True):
    npu: tuple[WithoutTable, ...]


def without_table() -> tuple[WithoutTable, ...]:
    """The NPUs whose vendors' tables cannot be read in public."""
    path = FOLDER / "_without_table.toml"
    return validate(tomllib.loads(path.read_text(encoding="utf-8")), _WithoutTables, f"{path}").npu


def usable(names: Iterable[str], load: Callable[[str], Target]) -> list[Target]:
    """The targets of these names; another distribution's that does not load is noted and left out."""
    found = []
    for name in names:
        try:
            found.append(load(name))
        except InputError as error:
            if name not in entry_points(GROUP):
                raise
            pass_over(f"{error}: it is left out")
    return found


def target_names() -> list[str]:
    """The built-in targets and those of other distributions."""
    return sorted(find_targets())


def target_path(name: str) -> Path:
    """The TOML file of a target by name, or the user's own by its path.

    Another distribution's entry point in ``attnbench.targets`` gives the path of its TOML file, or a function that does.
    """
    if name.endswith(".toml"):
        return Path(name)
    if name not in find_targets():
        raise UnknownName("target", name, target_names(), "your own: path/to/target.toml")
    place = find_targets()[name]
    if isinstance(place, Path):
        return place
    with users_code(f"target '{name}' ({place.value}) does not load"):
        found = place.load()
        return Path(found() if callable(found) else found)


def read_target(path: Path) -> Target:
    """The target that a file describes, parsed once a process; what its rules ask is for ``npu.targets`` to look at."""
    try:
        return _parsed(path.read_text(encoding="utf-8"), f"target {path}")
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"target: there is no file {path}") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, a number too long, tables too deep
        raise InputError(f"target {path}: not valid TOML: {error}") from error
    except OSError as error:
        raise InputError(f"target {path}: cannot be read: {error.strerror}") from error


def parse_target(data: Any, where: str) -> Target:
    """The target that a file's tables describe; ``where`` begins the line that says what is wrong."""
    file = validate(data, TargetFile, where)
    unlisted = file.target.get("unlisted", "unknown")
    defaults = {"beyond": "error" if unlisted == "unknown" else unlisted}
    head = validate(defaults | _with_texts(file.target, TargetHead), TargetHead, f"{where}: [target]")
    _check_word(head.unlisted, POLICIES, f"{where}: unlisted")
    _check_word(head.beyond, POLICIES, f"{where}: beyond")
    rules = tuple(_rule(one, head.beyond, where) for one in file.rule)
    quantised = tuple(_rule(one, head.beyond, where) for one in file.quantised)
    ids = [rule.id for rule in (*rules, *quantised)]
    if repeated := sorted({one for one in ids if ids.count(one) > 1}):
        raise InputError(f"{where}: two rules have the id {', '.join(repeated)}")
    return Target(**asdict(head), rules=rules, quantised=quantised)


@cache
def _parsed(text: str, where: str) -> Target:
    return parse_target(tomllib.loads(text), where)


def _rule(data: Any, beyond: str, where: str) -> Rule:
    table = isinstance(data, dict)
    where = f"{where}: rule {data.get('id', '?') if table else data!r:.60}"
    rule = validate({"beyond": beyond} | _with_texts(data, Rule) if table else data, Rule, where)
    _check_word(rule.level, LEVELS, f"{where}: level")
    _check_word(rule.beyond, POLICIES, f"{where}: beyond")
    return rule


def _with_texts(table: Mapping[str, Any], kind: type[Strict]) -> dict[str, Any]:
    """The table with its numbers and dates as text where text is asked, such as ``version = 2.4``, ``date = 2026-01-31``."""
    texts = {key for key, wanted in kind.__annotations__.items() if wanted is str}
    return {k: str(v) if k in texts and type(v) in (int, float, dt.date) else v for k, v in table.items()}


def _check_word(value: str, allowed: tuple[str, ...], where: str) -> None:
    if value not in allowed and not (value.startswith("fallback:") and len(value) > len("fallback:")):
        raise UnknownName(f"word for {where}", value, allowed)
