"""What is fuzzed: a grammar of command lines, and of each kind of file a sound one that is then spoilt.

A *tree* is a study, a target, a baseline or the lines of a run as plain values: a value somewhere in it is exchanged for an odd
one, a key goes or comes, or the text is cut and mixed up as bytes.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_harness import MINE, FuzzInput
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"

ODD_TEXTS = (
    "", " ", ",", "=", "+", "'", "''", "[", "]", "a=b", "é", "se", "all", "each", "baseline", "latest", "none", "..", "../../x", "/",
    "a/b", "~", "*", "?", "[a-z]*", "{}", "%s", "-1", "0", "1e23", "nan", "inf", "-inf", "NaN", "9" * 30, "1_000", "１２", "²", "0x10",
    "\x1b[31mred", "\x07", "a\nb", "a\tb", "\u202eabc", "\u2066x", "\ud800", "\x00", "x" * 5000, "os:system", "mine.py:Gate",
    "mine.py:nothing", "mine.py:number", "nowhere.py:X", "json:dumps", "se[reduction=8]", "se[]", "se[reduction=-1]",
    "se[reduction=8,reduction=4]", "se[reduction=1e23]", "se[reduktion=8]", "se\n", "cbam", "eca[", "se]", "encoder.layer3", "encoder.*",
    "encoder.layer3=se", "encoder.layer3=se,", "=se", "encoder.layer3=", "encoder.layer3=se=se", "'encoder.layer3'=se", "384x640",
    "0x0", "1x1", "33x65", "999999x999999", "3200000x3200000", "384*640", "32x32x32", "-1x-1", "resnet18", "resnetsan01[skip=x]",
    "model.onnx", "broken.onnx", "study.toml", "/dev/full", "/dev/null", "/proc/self/mem", "loop", "x/y/z", "model.onnx/x", "out",
)  # fmt: skip
ODD_NUMBERS = (
    0,
    -1,
    1,
    2**31,
    2**63,
    2**70,
    -(2**70),
    10**30,
    1e23,
    1e308,
    -1e308,
    0.5,
    -0.0,
    1e-320,
    math.nan,
    math.inf,
    -math.inf,
)


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


ODD = (*ODD_TEXTS, *ODD_NUMBERS, True, False, None, [], {}, [[]], [1], ["a", 1], {"a": 1}, {"": ""}, _deep(5), _deep(200))
text, odd = st.sampled_from(ODD_TEXTS), st.sampled_from(ODD)


# --- sound files -----------------------------------------------------------------------------------------------------

STUDY = {
    "name": "mine", "title": "A study", "hosts": ["resnet18"], "sizes": ["32x64"], "batch": 1, "targets": ["aimotive"],
    "settings": {"processes": 3, "max_processes": 4, "precision": "0.05,5%", "repeat": 2, "warmup": 1, "seed": 0, "threads": [1],
                 "provider": "cpu", "optimization": "all", "canonical": True, "memory": "changed", "timeout_seconds": 60.0},
    "matrix": [{"modules": ["se", "eca"], "places": ["stage-ends"], "settings": {"rounds": 2}}],
    "case": [{"variant": "residual-branch=se", "host": "resnet18", "sizes": ["32x64"], "priority": 1, "place": "p", "module": "m",
              "stage": "s", "settings": {"alone": True},
              "claim": {"metric": "overhead_pct", "value": 3, "source": "a paper", "relation": "about", "tolerance": 0.2}}],
}  # fmt: skip

TARGET = {
    "target": {"name": "mine", "title": "T", "vendor": "v", "chip": "c", "version": "1", "date": "2026-01-01", "document": "d",
               "source": "s", "unlisted": "unknown", "beyond": "error", "opset": 17, "types": ["float32"], "limits": {"rank": 4}},
    "rule": [
        {"id": "conv", "ops": ["Conv"], "level": "supported", "evidence": "vendor-doc", "section": "1", "reason": "r",
         "limits": {"kernel_at_most": 3}},
        {"id": "relu", "ops": ["Relu", "Sigmoid"], "level": "fallback:cpu", "beyond": "unknown", "evidence": "report", "section": "2",
         "reason": "r", "where": {}, "advice": {}},
    ],
}  # fmt: skip


def run_lines(number: int = 0) -> list[dict[str, Any]]:
    """The lines of a stored run: its header and a part of its facts, of schema 2; or of schema 1."""
    path = sorted(DATA.glob("run-*.jsonl"))[number % len(list(DATA.glob("run-*.jsonl")))]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return lines[:1] + [_lean(line) for line in lines[1:8]]


def _lean(line: dict[str, Any]) -> dict[str, Any]:
    """A line without most of its nodes and findings, of which one is as good as a hundred."""
    return {key: value[:2] if key in ("nodes", "findings", "checks") else value for key, value in line.items()}


def jsonl(lines: list[Any]) -> bytes:
    """Lines as a run file has them."""
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode(errors="surrogatepass")


def toml(table: dict[str, Any]) -> bytes:
    """A table as TOML, tables within it in line; what TOML has no word for is written as text."""
    return "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in table.items()).encode(errors="surrogatepass")


def _key(key: str) -> str:
    return json.dumps(str(key), ensure_ascii=True).replace("\\ud800", "?")


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case int() | float():
            return repr(value)
    return json.dumps(str(value)).replace("\\ud800", "?").replace("\x7f", "?")


def model() -> bytes:
    """A small sound ONNX file."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["t"], name="conv"), helper.make_node("Relu", ["t"], ["y"], name="relu")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def sound_files() -> dict[str, bytes]:
    """One sound file of each kind, by the names that command lines use."""
    one = run_lines(0)
    return {
        "mine.py": MINE.encode(), "model.onnx": model(), "broken.onnx": b"\x08\x08broken", "study.toml": toml(STUDY),
        "target.toml": toml(TARGET), "runs/one/run.jsonl": jsonl(one), "runs/two/run.jsonl": jsonl(run_lines(1)),
        "accuracy.csv": b"variant,mIoU\nbaseline,70\nencoder.layer3=se,71\n",
        "runs/baseline.toml": b'run = "one/run.jsonl"\nstarted = "2026"\ncommit = ""\nsha256 = "0"\n',
    }  # fmt: skip


# --- spoiling --------------------------------------------------------------------------------------------------------


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree, the tree itself first."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(found for key, value in inner for found in _paths(value, (*path, key)))]


def _changed(tree: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """A copy of a tree with what is at a path changed."""
    if not path:
        return change(tree)
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = _changed(tree[path[0]], path[1:], change)
    return copy


@st.composite
def spoilt_tree(draw: Any, tree: Any) -> Any:
    """A tree with one to three things wrong."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_paths(tree)))
        here = tree
        for step in path:
            here = here[step]
        match draw(st.sampled_from(("odd", "odd", "odd", "gone", "more", "twice"))):
            case "gone" if path:
                holder = path[:-1]
                tree = _changed(tree, holder, lambda old, key=path[-1]: _without(old, key))
            case "more" if isinstance(here, dict):
                key, value = draw(text), draw(odd)
                tree = _changed(tree, path, lambda old, key=key, value=value: {**old, key: value})
            case "twice" if isinstance(here, list):
                tree = _changed(tree, path, lambda old: [*old, *old])
            case _:
                value = draw(odd)
                tree = _changed(tree, path, lambda _, value=value: value)
    return tree


def _without(holder: Any, key: Any) -> Any:
    if isinstance(holder, dict):
        return {name: value for name, value in holder.items() if name != key}
    return [value for at, value in enumerate(holder) if at != key]


@st.composite
def spoilt_bytes(draw: Any, data: bytes) -> bytes:
    """Bytes that are cut, changed, doubled or mixed with others."""
    at = draw(st.integers(0, max(0, len(data) - 1)))
    match draw(st.sampled_from(("cut", "change", "insert", "double", "empty", "tail"))):
        case "cut":
            return data[:at]
        case "change":
            return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
        case "insert":
            return (
                data[:at]
                + draw(st.sampled_from((b"\x00", b"\xff\xfe", b"\n", b"}", b"[", b'"', b"\x1b[0m", b"<<<<<<< HEAD\n")))
                + data[at:]
            )
        case "double":
            return data[:at] + data
        case "empty":
            return draw(st.sampled_from((b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\x00" * 100)))
    return data + draw(st.binary(min_size=1, max_size=20))


@st.composite
def spoilt_lines(draw: Any, lines: list[Any]) -> bytes:
    """A run file with something wrong in one of its lines, or in its bytes."""
    if draw(st.integers(0, 5)) == 0:
        return draw(spoilt_bytes(jsonl(lines)))
    at = draw(st.sampled_from((0, 0, *range(len(lines)))))
    changed = [*lines[:at], draw(spoilt_tree(lines[at])), *lines[at + 1 :]]
    return jsonl(changed)


# --- kinds of input --------------------------------------------------------------------------------------------------

READERS = (
    ("report", "runs/one"), ("report", "runs/one", "--format", "csv"), ("report", "runs/one", "--format", "json"),
    ("report", "runs/one", "--format", "junit"), ("report", "runs/one", "--format", "bmf"), ("report", "runs/one", "--format", "latex"),
    ("report", "runs/one", "--format", "benchstat"), ("report", "runs/one", "--format", "pytest-benchmark"),
    ("compare", "runs/one", "runs/two"), ("compare", "runs/two", "runs/one"), ("compare", "runs/one", "runs/one"),
    ("explain", "runs/one", "encoder"), ("explain", "runs/one", "baseline"), ("track", "runs"), ("track", "runs", "--metric", "params"),
    ("merge", "runs/one", "runs/two", "-o", "out/m"), ("baseline", "set", "runs/one", "--results", "runs"),
    ("recommend", "runs/one"), ("recommend", "runs/one", "--accuracy", "accuracy.csv", "--metric", "mIoU:higher"),
    ("plot", "runs/one", "heatmap", "-o", "out/h.svg"), ("plot", "runs/one", "pareto", "-o", "out/p.svg"),
    ("report", "latest", "--results", "runs"), ("report", "latest:mine", "--results", "runs"),
    ("sweep", "--resolve", "runs/one", "--module", "se", "--place", "encoder.layer3", "--size", "32x64", "--out", "out/r"),
)  # fmt: skip


@st.composite
def run_inputs(draw: Any) -> FuzzInput:
    """A run file that is spoilt, and a command that reads it."""
    lines = draw(spoilt_lines(run_lines(draw(st.integers(0, 9)))))
    return FuzzInput(draw(st.sampled_from(READERS)), {"runs/one/run.jsonl": lines})


@st.composite
def study_inputs(draw: Any) -> FuzzInput:
    """A study that is spoilt, and what would measure it."""
    data = _table(draw(spoilt_tree(STUDY))) if draw(st.integers(0, 7)) else draw(spoilt_bytes(toml(STUDY)))
    more = draw(st.sampled_from(((), ("--dry-run", "--quiet"), ("--quick",), ("--size", "32x64"), ("--shard", "1/2"))))
    return FuzzInput(("sweep", "study.toml", "--out", "out/s", *more), {"study.toml": data})


def _table(found: Any) -> bytes:
    return toml(found if isinstance(found, dict) else {"x": found})


@st.composite
def target_inputs(draw: Any) -> FuzzInput:
    """A target that is spoilt, and what judges by it."""
    data = _table(draw(spoilt_tree(TARGET))) if draw(st.integers(0, 7)) else draw(spoilt_bytes(toml(TARGET)))
    asked = draw(st.sampled_from((
        ("check", "model.onnx", "--target", "target.toml"), ("check", "model.onnx", "--target", "target.toml", "-f", "json"),
        ("check", "model.onnx", "--target", "target.toml", "-f", "sarif"), ("list", "targets", "--target", "target.toml"),
        ("sweep", "--module", "se", "--place", "encoder.layer3", "--size", "32x64", "--target", "target.toml", "--out", "out/t"),
    )))  # fmt: skip
    return FuzzInput(asked, {"target.toml": data})


@st.composite
def baseline_inputs(draw: Any) -> FuzzInput:
    """A baseline's file that is spoilt, and what compares with it."""
    tree = {"run": "one/run.jsonl", "started": "2026", "commit": "", "sha256": "0" * 64}
    data = _table(draw(spoilt_tree(tree))) if draw(st.booleans()) else draw(spoilt_bytes(toml(tree)))
    asked = draw(
        st.sampled_from(
            (("compare", "baseline", "runs/two", "--results", "runs"), ("baseline", "show", "--results", "runs"))
        )
    )
    return FuzzInput(asked, {"runs/baseline.toml": data})


@st.composite
def accuracy_inputs(draw: Any) -> FuzzInput:
    """A table of accuracies that is spoilt."""
    data = draw(spoilt_bytes(b"variant,mIoU\nbaseline,70\nencoder.layer3=se,71\n"))
    metric = draw(st.sampled_from(("mIoU:higher", "mIoU", "x:lower", "mIoU:up", ":", "mIoU:lower")))
    return FuzzInput(("recommend", "runs/one", "--accuracy", "accuracy.csv", "--metric", metric), {"accuracy.csv": data})


@st.composite
def model_inputs(draw: Any) -> FuzzInput:
    """An ONNX file by the structure-aware mutator of ``benchmarks/fuzz_check.py``."""
    import fuzz_check

    data = fuzz_check.drawn(draw(st.integers(0, 2**31))).data
    target = draw(st.sampled_from(("aimotive", "ti-tidl-11.02", "all")))
    more = draw(st.sampled_from(((), ("-f", "json"), ("-f", "netron"), ("-v",), ("--size", "8x8"), ("--strict",))))
    return FuzzInput(("check", "model.onnx", "--target", target, *more), {"model.onnx": data})


NUMBERS = st.sampled_from(
    (
        "1",
        "2",
        "0",
        "-1",
        "1e23",
        "nan",
        "inf",
        "99999999999999999999",
        "1.5",
        "１２",
        "²",
        "1_0",
        "",
        " ",
        "two",
        "1000",
        "0x10",
    )
)
OPTIONS: dict[str, Any] = {
    "--host": st.one_of(st.sampled_from(("resnet18", "model.onnx", "mine.py:build", "loop")), text),
    "--module": st.one_of(st.sampled_from(("se", "eca", "mine.py:Gate", "all")), text),
    "--place": st.one_of(st.sampled_from(("encoder.layer3", "each", "stage-ends")), text),
    "--variant": text, "--tap": text, "--site": st.one_of(st.just("0=a"), text), "--target": text,
    "--size": st.one_of(st.sampled_from(("32x64", "64x64")), text), "--batch": NUMBERS, "--input-channels": NUMBERS,
    "--processes": NUMBERS, "--max-processes": NUMBERS, "--repeat": NUMBERS, "--warmup": NUMBERS, "--rounds": NUMBERS,
    "--crosscheck": NUMBERS, "--seed": NUMBERS, "--timeout": NUMBERS, "--threads": st.one_of(NUMBERS, text), "--precision": text,
    "--provider": text, "--optimization": text, "--budget": st.one_of(st.sampled_from(("1h", "9" * 400 + "h", "0s", "3")), text),
    "--resolve": text, "--fail-on": text,
    "--shard": st.one_of(st.sampled_from(("1/2", "2/1", "0/0", "1/99999999", "²/４", "1/2/3", "-1/2")), text),
    "--channels": NUMBERS, "--plane": text, "--format": text, "--metric": text, "--results": text, "--max-overhead": text,
    "--accuracy": text, "--fail-on-step": text, "--shape": text, "--image": text, "--images": text, "--pair": text, "--student": text,
}  # fmt: skip
FLAGS = (
    "--quick",
    "--alone",
    "--screen",
    "--no-memory",
    "--raw",
    "--dry-run",
    "--quiet",
    "--strict",
    "--verbose",
    "--all",
    "--per-op",
)
SOUND: dict[str, tuple[tuple[str, ...], ...]] = {
    "sweep": (("--module", "se", "--place", "encoder.layer3", "--size", "32x64"), ("study.toml",), ("quick",)),
    "count": (("--module", "se", "--channels", "8", "--plane", "4x4"), ("--module", "se", "--place", "encoder.layer3", "--size", "32x64")),
    "check": (("model.onnx",), ("--module", "se", "--channels", "8", "--plane", "4x4")),
    "compare": (("runs/one", "runs/two"),), "report": (("runs/one",),), "explain": (("runs/one", "baseline"),),
    "track": (("runs",),), "recommend": (("runs/one",),), "merge": (("runs/one", "runs/two"),), "plot": (("runs/one", "heatmap"),),
    "list": (("targets",), ("placements",), ("modules",), ("studies",)), "baseline": (("show",), ("set", "runs/one")),
    "export": (("encoder.layer3=se",),), "rewrite": (("model.onnx",),), "cache": (("show",),), "doctor": (("--learn",),),
}  # fmt: skip
OWN_OUTPUT = {
    "sweep": "--out",
    "merge": "-o",
    "plot": "-o",
    "export": "-o",
    "rewrite": "-o",
    "report": "-o",
    "count": "-o",
    "check": "-o",
}
TAKES: dict[str, tuple[str, ...]] = {
    "sweep": tuple(OPTIONS)[:27], "count": ("--host", "--module", "--place", "--variant", "--tap", "--size", "--batch", "--channels",
    "--plane", "--format"), "check": ("--target", "--size", "--shape", "--module", "--channels", "--plane", "--format"),
    "compare": ("--fail-on", "--format", "--results"), "report": ("--format", "--results"), "explain": ("--results",),
    "track": ("--metric", "--host", "--size", "--variant", "--fail-on-step", "--format"),
    "recommend": ("--target", "--max-overhead", "--accuracy", "--metric", "--place"), "merge": (),
    "plot": ("--host", "--size", "--place", "--module"), "list": ("--host", "--target"), "baseline": ("--results",),
    "export": ("--host", "--size", "--batch", "--seed", "--site", "--format"), "rewrite": ("--target", "--size"), "init": (), "cache": (),
    "doctor": ("--results",),
}  # fmt: skip


@st.composite
def command_inputs(draw: Any) -> FuzzInput:
    """A command line that is nearly right: a sound one with up to three options more, some of them odd, or words exchanged."""
    command = draw(st.sampled_from(tuple(SOUND)))
    words = [command, *draw(st.sampled_from(SOUND[command]))]
    for _ in range(draw(st.integers(0, 3))):
        known = TAKES[command] if draw(st.integers(0, 9)) else tuple(OPTIONS)
        if known and draw(st.integers(0, 4)):
            name = draw(st.sampled_from(known))
            words += [name, draw(OPTIONS[name])]
        else:
            words.append(draw(st.sampled_from(FLAGS)))
    if len(words) > 1 and draw(st.integers(0, 3)) == 0:
        words[draw(st.integers(1, len(words) - 1))] = draw(text)
    if command in OWN_OUTPUT:
        place = draw(
            st.sampled_from(("out/x", "out/x", "out/x", "/dev/full", "out", "x" * 300, "model.onnx/x", "nowhere/x"))
        )
        words += [OWN_OUTPUT[command], place if command != "sweep" or not place.startswith("nowhere") else "out/x"]
    return FuzzInput(tuple(word.replace("\x00", "").encode(errors="replace").decode() for word in words))


KINDS: dict[str, Any] = {
    "command lines": command_inputs(), "study files": study_inputs(), "target files": target_inputs(), "run files": run_inputs(),
    "baseline files": baseline_inputs(), "accuracy tables": accuracy_inputs(), "ONNX files": model_inputs(),
}  # fmt: skip
"""What is fuzzed, by the name that the table has for it."""
