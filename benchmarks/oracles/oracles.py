"""What Vela and ONNX Runtime's checker say of modules, beside the targets: ``python benchmarks/oracles/oracles.py``.

Writes ``results/oracles.md``. Each registered module is exported alone for one plane. For Vela it is written as TFLite
(``tflite_form.py``): in float32, whose output must be ONNX Runtime's, and in int8, which Vela compiles for two NPUs. A node
is on Vela's CPU where one of its TFLite ops is left to the CPU. ONNX Runtime's checker reads the graph that its own
optimiser makes, and the targets judge that one then. Every disagreement must be explained in ``causes.toml``, or the
script ends with an error. Needs the extra ``oracles``. A folder that is given keeps the files, and a graph that it has is
not exported again.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter
from onnxruntime.tools.mobile_helpers import usability_checker as checker
from onnxruntime.tools.onnx_model_utils import optimize_model
from tflite_form import NotConverted, Writer, shape_of

from attnbench.core.errors import CaseFailure, InputError
from attnbench.core.records import ON_NPU
from attnbench.graph.load import parse
from attnbench.measure.describe import lone_module
from attnbench.modules import module_names
from attnbench.npu.judge import judge_nodes
from attnbench.npu.targets import load_target
from attnbench.report.table import Table

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "results" / "oracles.md"
CAUSES = Path(__file__).with_name("causes.toml")
CHANNELS, HEIGHT, WIDTH = 64, 24, 40
CLOSE = 1e-3
LIMITS = (
    "The nodes that the tests hold the targets of Ethos-U to, on both sides of each limit, compiled by Vela one by one. Not "
    "asked is what this converter does not write, or what Vela does not read."
)
VELA = {"arm-ethos-u65-vela-5.2.0": "ethos-u65-256", "arm-ethos-u85-vela-5.2.0": "ethos-u85-256"}
"""Vela's name of the NPU that a target is."""
LISTS = {
    "ort-nnapi-1.32.0": "nnapi_supported_ops.md",
    "ort-coreml-neuralnetwork-1.32.0": "coreml_supported_neuralnetwork_ops.md",
    "ort-coreml-mlprogram-1.32.0": "coreml_supported_mlprogram_ops.md",
}
"""The list by which ONNX Runtime's checker judges what a target is."""


class Said(NamedTuple):
    """What is said of a node: by the target (``npu``, ``cpu`` or ``open``), by which rule, and by the oracle."""

    target: str
    module: str
    op: str
    ours: str
    rule: str
    theirs: str

    @property
    def kind(self) -> str:
        """Whether the two agree, disagree, or the target leaves open what the oracle says."""
        return "open" if self.ours == "open" else "agree" if self.ours == self.theirs else "disagree"


def main(folder: Path) -> int:
    """Ask all, write the result, and say what is not explained."""
    said, apart, worst = [], [], 0.0
    for name in module_names():
        path = folder / f"{name}.onnx"
        try:
            graph = parse(path.read_bytes()) if path.exists() else exported(name)
        except (CaseFailure, InputError) as error:
            apart.append({"module": name, "asked": "none", "why": str(error)})
            continue
        ir.save(graph, path)
        said += by_checker(name, path)
        try:
            worst = max(worst, difference(graph, path))
            said += by_vela(name, graph, folder)
        except NotConverted as error:
            apart.append({"module": name, "asked": "ONNX Runtime alone", "why": f"not written as TFLite: {error}"})
        print(name, Counter(one.kind for one in said if one.module == name), flush=True)
    limits = [one for target in VELA for one in by_cases(target, folder)]
    causes = tomllib.loads(CAUSES.read_text(encoding="utf-8"))["cause"]
    text, unexplained = report(said, limits, apart, worst, causes)
    RESULT.write_text(text, encoding="utf-8")
    for one in unexplained:
        print("not explained:", one, file=sys.stderr)
    return 1 if unexplained else 0


def exported(name: str) -> ir.Model:
    """A module's graph, with twice the channels where it refuses so few."""
    try:
        return lone_module(name, CHANNELS, HEIGHT, WIDTH)[0]
    except CaseFailure:
        return lone_module(name, 2 * CHANNELS, HEIGHT, WIDTH)[0]


def judged(graph: ir.Model, target: str) -> dict[str, tuple[str, str, str]]:
    """By node, its op, what the target says, and by which rule."""
    found = {}
    for node, finding in judge_nodes(graph, load_target(target)):
        ours = "npu" if finding.level in ON_NPU else "open" if finding.level == "unknown" else "cpu"
        found[node.name or ""] = (node.op_type, ours, finding.rule)
    return found


def by_checker(module: str, path: Path) -> Iterator[Said]:
    """ONNX Runtime's checker beside the targets, on the graph that its optimiser makes."""
    better = path.with_suffix(".basic.onnx")
    optimize_model(path, better)
    proto = onnx.shape_inference.infer_shapes(onnx.load(better))
    graph = parse(proto.SerializeToString())
    for target, file in LISTS.items():
        partition = checker.check_nnapi_partitions if "nnapi" in file else checker.check_coreml_partitions
        info = partition(proto, True, *([] if "nnapi" in file else [file]))
        taken = {node.name for group in info.supported_groups for node in group}
        for name, (op, ours, rule) in judged(graph, target).items():
            yield Said(target, module, op, ours, rule, "npu" if name in taken else "cpu")


def by_vela(module: str, graph: ir.Model, folder: Path) -> Iterator[Said]:
    """Vela beside the targets, node by node."""
    path = folder / f"{module}.tflite"
    path.write_bytes(Writer(graph, int8=True).write())
    written = nodes_of(path)
    for target in VELA:
        left = left_by_vela(path, target)
        for name, (op, ours, rule) in judged(graph, target).items():
            if name in written:
                yield Said(target, module, op, ours, rule, "cpu" if name in left else "npu")


def by_cases(target: str, folder: Path) -> Iterator[Said]:
    """Vela beside the target on the nodes that its tests hold it to: both sides of each limit."""
    sys.path.insert(0, str(ROOT / "tests"))
    from made import NODES, model_of  # noqa: PLC0415  the tests are no package

    for rule, cases in tomllib.loads((NODES / f"{target}.toml").read_text(encoding="utf-8"))["cases"].items():
        for at, (level, _, text) in enumerate(cases):
            path = folder / f"{rule}.{at}.tflite"
            model = model_of(text)
            try:
                path.write_bytes(Writer(model, int8=True).write())
                theirs = "cpu" if left_by_vela(path, target) else "npu"
            except (NotConverted, LookupError, TypeError, ValueError):
                theirs = "not asked"
            ours = "npu" if level in ON_NPU else "open" if level == "unknown" else "cpu"
            yield Said(target, text, model.graph[-1].op_type, ours, rule, theirs)


def left_by_vela(path: Path, target: str) -> set[str]:
    """The ONNX nodes of a TFLite file that Vela leaves to the CPU. Raises ``NotConverted``."""
    out = path.parent / VELA[target]
    command = (
        sys.executable,
        "-m",
        "ethosu.vela",
        str(path),
        "--accelerator-config",
        VELA[target],
        "--output-dir",
        str(out),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr or done.stdout).strip().splitlines()
        raise NotConverted(f"Vela ends with {done.returncode}: {why[-1][:150]}")
    return nodes_of(out / f"{path.stem}_vela.tflite")


def nodes_of(path: Path) -> set[str]:
    """The ONNX nodes whose ops a TFLite file has, but for those that Vela has put into its own."""
    model = tfl.ModelT.InitFromObj(tfl.Model.GetRootAs(path.read_bytes(), 0))
    found = set()
    for part in model.subgraphs:
        for op in part.operators:
            code = model.operatorCodes[op.opcodeIndex]
            if code.builtinCode != tfl.BuiltinOperator.CUSTOM:
                found |= {part.tensors[at].name.decode().partition("|")[0] for at in op.outputs}
    return found


def difference(graph: ir.Model, path: Path) -> float:
    """How far the float32 form is from ONNX Runtime, as a part of the largest output. Raises ``NotConverted``."""
    source = np.random.default_rng(0).standard_normal(shape_of(graph.graph.inputs[0]), dtype=np.float32)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(None, dict.fromkeys((one.name for one in session.get_inputs()), source))[0]
    run = Interpreter(model_content=Writer(graph, int8=False).write())
    run.allocate_tensors()
    for one in run.get_input_details():
        run.set_tensor(one["index"], source.transpose(0, 2, 3, 1))
    run.invoke()
    found = run.get_tensor(run.get_output_details()[0]["index"])
    off = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    if not off < CLOSE:
        raise NotConverted(f"the float32 form is off by {off:.2g} of the largest output")
    return off


def report(
    said: list[Said], limits: list[Said], apart: list[dict], worst: float, causes: list[dict]
) -> tuple[str, list[str]]:
    """The page, and the disagreements without a cause."""
    rows, missing = _apart(said, causes)
    cases, more = _apart([one for one in limits if one.theirs != "not asked"], causes)
    names = ("ethos-u-vela", "onnxruntime", "ai-edge-litert")
    vela, runtime, litert = map(version, names)
    about = (
        f"Every module alone, {CHANNELS} channels on {HEIGHT}x{WIDTH} (twice the channels where it refuses): what the "
        f"targets say of its nodes, beside what Vela {vela} (the compiler of Ethos-U) and the usability checker of ONNX "
        f"Runtime {runtime} say. For Vela, a module is written as TFLite in int8. Its float32 form, run by LiteRT {litert}, "
        f"is off from ONNX Runtime by at most {worst:.1g} of the largest output. *Open* are nodes whose fate a target's "
        "document leaves open, and of which the tool says one: for Ethos-U, that of the op as this converter writes it."
    )
    columns = (
        "On the NPU, left to the CPU and open by the target; behind the stroke, on the NPU and left to the CPU by the tool."
    )
    parts = [
        "# Targets beside the tools that can be asked",
        "<!-- made by benchmarks/oracles/oracles.py -->",
        about,
        _counts(said).markdown(),
        "## Disagreements, and their causes",
        Table.of(rows["disagree"]).markdown() or "None.",
        "## Open here, and what the tool says",
        Table.of(rows["open"]).markdown() or "None.",
        "## Limits",
        LIMITS,
        _counts(limits, "cases").markdown(),
        Table.of(cases["disagree"]).markdown() or "None disagrees.",
        "## By module",
        columns,
        _by_module(said).markdown(),
        "## Not asked",
        Table.of(apart).markdown() or "None.",
    ]
    return "\n\n".join(parts) + "\n", missing + more


def _apart(said: list[Said], causes: list[dict]) -> tuple[dict[str, list[dict]], list[str]]:
    """The nodes on which the two do not agree, grouped, and the disagreements without a cause."""
    groups: dict[tuple, list[Said]] = defaultdict(list)
    for one in said:
        if one.kind != "agree":
            groups[one.kind, one.target, one.op, one.rule, one.ours, one.theirs].append(one)
    rows, missing = {"disagree": [], "open": []}, []
    for (kind, target, op, rule, ours, theirs), ones in sorted(groups.items()):
        cause = next((c["why"] for c in causes if _matches(c, target, op, rule, theirs)), "")
        if kind == "disagree" and not cause:
            missing.append(
                f"{target}: {op}, rule {rule}: {ours} here, {theirs} there, in {', '.join(sorted({o.module for o in ones}))}"
            )
        rows[kind].append(
            {
                "target": target,
                "op": op,
                "rule": rule,
                **({"here": ours} if kind == "disagree" else {}),
                "oracle": theirs,
                "nodes": len(ones),
                "modules": ", ".join(sorted({one.module for one in ones})),
                **({"cause": cause} if kind == "disagree" else {}),
            }
        )
    return rows, missing


def _matches(cause: dict, target: str, op: str, rule: str, theirs: str) -> bool:
    """Whether a cause of ``causes.toml`` is one of these nodes: by target, op, rule and side."""
    return (
        target.startswith(tuple(cause["targets"]))
        and op in cause.get("ops", [op])
        and rule in cause.get("rules", [rule])
        and cause["oracle"] == theirs
    )


def _counts(said: list[Said], what: str = "modules") -> Table:
    counts = Counter((one.target, one.kind if one.theirs != "not asked" else one.theirs) for one in said)
    kinds = ("agree", "open", "disagree", *(["not asked"] if what == "cases" else []))
    return Table.of(
        {
            "target": target,
            "asked": "Vela" if target in VELA else "ONNX Runtime's checker",
            **({"modules": len({one.module for one in said if one.target == target})} if what == "modules" else {}),
            "nodes": sum(counts[target, kind] for kind in kinds),
            **{kind: counts[target, kind] for kind in kinds},
        }
        for target in (*VELA, *LISTS)
        if any(one.target == target for one in said)
    )


def _by_module(said: list[Said]) -> Table:
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for target in (*VELA, *LISTS):
        for module in sorted({one.module for one in said}):
            ones = [one for one in said if one.target == target and one.module == module]
            if ones:
                ours, theirs = Counter(one.ours for one in ones), Counter(one.theirs for one in ones)
                cells[module][target] = f"{ours['npu']} {ours['cpu']} {ours['open']} / {theirs['npu']} {theirs['cpu']}"
    return Table.of(
        {"module": module, **{t: row.get(t, "not asked") for t in (*VELA, *LISTS)}} for module, row in cells.items()
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", nargs="?", type=Path)
    given = options.parse_args().folder
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        sys.exit(main(given))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
