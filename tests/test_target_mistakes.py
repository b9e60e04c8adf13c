"""Target files with mistakes: every one is a line that says where, and what loads can judge any graph without an error."""

import contextlib
import copy
import datetime as dt
import math
import random
import tomllib

import pytest
from made import floats, graph, model_of
from test_profiles import SAID

from attnbench.core.errors import InputError
from attnbench.core.records import LEVELS
from attnbench.core.validation import validate
from attnbench.npu.judge import judge
from attnbench.npu.rules import PREDICATES, argument_type
from attnbench.npu.targets import validate_rules
from attnbench.targets import FOLDER, parse_target, target_names

ODD = (
    None, True, False, 0, -1, 7, 10**30, 10**400, 0.5, -0.0, 1e308, math.nan, math.inf, "", "7", "Conv", "two\nlines",
    "depthwise", [], [[]], [None], [1, 2], [1, "x"], [[1, 2], [3]], [[3, 3, 1]], [True], ["NC11"], {}, {"a": 1},
    {"axis": [0.5, "x"]}, {"mode": 1.5}, {"kernel_at_most": 7}, [{}], dt.date(2026, 1, 1), dt.time(1), "fallback:", "refused",
)  # fmt: skip
"""What no file should hold somewhere, or holds in the wrong place; TOML has no null, but a caller with data may."""


def graphs():
    """A graph of each form that the cases of edge NPUs have, which are small ones, and some that no profile speaks of."""
    edge = ("rockchip", "axelera", "kneron", "deepx")
    told = [
        case for name, said in SAID.items() if name.startswith(edge) for cases in said["cases"].values() for case in cases
    ]
    models = [graph(text) for *_, text in told]
    forms = {str([node[:1] + node[3:] for node in model[0]]): model for model in models}
    yield from (model_of(*model) for model in forms.values())
    for shape in ((), (0,), (3,), (1, 0, 4, 4), (2, 3, 4), (1, 2, 3, 4, 5)):
        nodes = [("Relu", ["x"], ["a"], {}), ("Add", ["a", "x"], ["b"], {}), ("ReduceMax", ["b"], ["y"], {"keepdims": 0})]
        yield model_of(nodes, {"x": shape}, {"y": ()})
    yield model_of([("Conv", ["x", "w"], ["y"], {})], {"x": (1, 1, 9)}, {"y": (1, 1, 7)}, {"w": floats(1, 1, 3)})
    yield model_of([("Relu", ["x"], ["y"], {})], {"x": ("n", 3, "h", 8)}, {"y": ("n", 3, "h", 8)})


GRAPHS = list(graphs())
FILES = {name: tomllib.loads((FOLDER / f"{name}.toml").read_text()) for name in target_names()}


def places(data, at=()):
    """The path to each value of nested tables and lists."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*at, key)
        yield from places(value, (*at, key))


def mutated(dice: random.Random):
    """A good file with up to three mistakes, of the sort that people and programs make."""
    data = copy.deepcopy(FILES[dice.choice(list(FILES))])
    rules = data["rule"]
    data["rule"] = dice.sample(rules, min(len(rules), 6))
    for _ in range(dice.randint(0, 3)):
        *path, last = dice.choice(list(places(data)))
        inner = data
        for key in path:
            inner = inner[key]
        match dice.randrange(6):
            case 0 if isinstance(inner, dict):
                del inner[last]
            case 1 if isinstance(inner, dict):
                inner[dice.choice((f"{last}s", last[:-1], "limit", "two\nlines"))] = dice.choice(ODD)
            case 2 if isinstance(inner, list):
                inner.append(copy.deepcopy(inner[last]))
            case 3:
                inner[last] = [inner[last]]
            case 4 if isinstance(data.get("rule"), list) and data["rule"] and isinstance(data["rule"][0], dict):
                limits = {dice.choice(list(PREDICATES)): dice.choice(ODD) for _ in range(2)}
                data["rule"][0][dice.choice(("where", "limits", "advice"))] = limits
            case _:
                inner[last] = copy.deepcopy(dice.choice(ODD))
    return data


def loaded(data):
    """The target, or ``None`` where one line says what is wrong with it."""
    try:
        target = parse_target(data, "target x.toml")
        validate_rules(target, "target x.toml")
    except InputError as error:
        text = str(error)
    else:
        return target
    assert "x.toml" in text
    assert "\n" not in text
    assert len(text) < 10_000
    return None


@pytest.mark.parametrize("seed", range(4))
def test_a_file_with_any_mistake_is_refused_in_a_line_or_judges(seed):
    dice = random.Random(seed)
    targets = [loaded(mutated(dice)) for _ in range(150)]
    assert 10 < targets.count(None) < len(targets), "some are taken"
    for target in filter(None, targets):
        for model in dice.sample(GRAPHS, 5):
            assert all(finding.level in LEVELS for finding in judge(model, target))


def accepted(kind):
    """Those of the odd values that a type takes, and some more."""
    for value in (*ODD, [[0.0, 6.0]], ["input"], {"alpha": [0.1]}):
        with contextlib.suppress(InputError):
            validate(value, kind, "x")
            yield value


@pytest.mark.parametrize("name", PREDICATES)
def test_a_predicate_answers_for_every_node_whatever_a_rule_may_give_it(name):
    ops = sorted({node.op_type for model in GRAPHS for node in model.graph})
    head = FILES["aimotive"]["target"]
    rule = {"id": "r", "ops": ops, "level": "supported", "evidence": "vendor-doc", "section": "1", "reason": "because"}
    given = [True] if argument_type(name) is bool else list(accepted(argument_type(name)))
    assert given
    for value in given:
        target = loaded({"target": head, "rule": [{**rule, "limits": {name: value}}]})
        assert target is not None
        for model in GRAPHS:
            assert all(finding.level in LEVELS for finding in judge(model, target))
