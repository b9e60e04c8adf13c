"""Random small graphs, valid and broken, checked and held against ONNX Runtime: ``python benchmarks/fuzz_check.py [COUNT]``.

Writes ``results/fuzz_check.md``. A graph is a chain of a few ops with attributes and operands that often fit and sometimes
do not; some files are then spoilt as files. Every check must end with exit code 0, 1 or 2, without a traceback, in little
memory and time. What the runtime runs must be judged (0 or 1). What the runtime refuses must be refused (2), but for what it
has no kernel for: a graph may be right and not be one of its own.
"""

import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from attnbench.core.errors import InputError
from attnbench.core.guarded import guarded
from attnbench.graph.foreign import read_model
from attnbench.npu.check import check_all
from attnbench.npu.targets import load_target
from attnbench.targets import target_names

RESULT = Path(__file__).resolve().parents[1] / "results" / "fuzz_check.md"
MOST_BYTES = 300_000_000
MOST_SECONDS = 20.0

Node = tuple[str, list[str], dict[str, Any]]


class Drawn(NamedTuple):
    """A graph as a file, and whether the runtime may be asked about it: what is spoilt as a file might harm it."""

    data: bytes
    comparable: bool


class Seen(NamedTuple):
    """What came of a check: the exit code (3 for a traceback), the line, bytes that it took more than before, seconds."""

    code: int
    line: str
    grown: int
    seconds: float


class Graphs:
    """Graphs from dice: nodes are put one behind another, most of them fitting what is before."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.careless = dice.random() < 0.4
        self.weights: dict[str, np.ndarray] = {}

    def weight(self, array: Any) -> str:
        """The name of a new constant."""
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array)
        return name

    def some(self, *choices: Any) -> Any:
        """One of some values."""
        return self.dice.choice(choices)

    def odd(self, fitting: Any, *others: Any) -> Any:
        """What fits, and in a careless graph now and then what does not."""
        return self.dice.choice(others) if self.careless and self.dice.random() < 0.3 else fitting

    def floats(self, *sides: int) -> str:
        """A constant of this shape."""
        return self.weight(np.full(sides, self.some(0.5, 1.0, 3.0), np.float32))

    def node(self, x: str, shape: list[int]) -> Node:
        """A node on a tensor of four sides, whose attributes may not fit."""
        some, odd, (_, channels, height, side) = self.some, self.odd, shape
        kernel, stride = odd(some(1, 3), 5, 9), odd(some(1, 2), 0)
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [odd(kernel // 2, 0, -1)] * 4}
        width = odd(channels, channels + 1)
        fold = [1, -1, 1, height * side]
        makers: tuple[Callable[[], Node], ...] = (
            lambda: ("Conv", [x, self.floats(some(2, 4), width, kernel, kernel)], {**window, "group": odd(1, 0, 2)}),
            lambda: ("Conv", [x, self.floats(width, 1, kernel, kernel)], {**window, "group": channels}),
            lambda: ("ConvTranspose", [x, self.floats(width, 2, kernel, kernel)], {"strides": [stride] * 2}),
            lambda: (some("MaxPool", "AveragePool"), [x], window),
            lambda: (some("Relu", "Sigmoid", "Tanh", "Erf", "HardSwish", "Exp", "GlobalAveragePool", "Identity"), [x], {}),
            lambda: (
                some("Add", "Mul", "Sub", "Div"),
                [x, odd(some(x, self.floats(1, width, 1, 1), self.floats(1)), "later")],
                {},
            ),
            lambda: ("Concat", [x, x], {"axis": odd(some(0, 1, -1), 4)}),
            lambda: ("Transpose", [x], {"perm": odd(some([0, 1, 3, 2], [0, 2, 3, 1]), [0, 1, 1, 2], [1, 0])}),
            lambda: (some("Softmax", "LogSoftmax"), [x], {"axis": odd(some(1, -1), 5)}),
            lambda: ("ReduceMean", [x], {"axes": odd(some([1], [2, 3]), [7]), "keepdims": 1}),
            lambda: ("Reshape", [x, self.weight(np.array(odd(some(fold, [0, 0, -1, 1]), [1, 7, -1, 3], [3, 3, 3, 3])))], {}),
            lambda: ("Expand", [x, self.weight(np.array(odd(some([1, 1, 1, 1], [2, 1, 1, 1]), [1, 1, 1, 7])))], {}),
            lambda: ("Clip", [x, self.weight(np.float32(0)), self.weight(np.float32(6))], {}),
            lambda: ("BatchNormalization", [x, *(self.floats(width) for _ in range(4))], {}),
            lambda: ("Pad", [x, self.weight(np.array([0, 0, 1, 1, 0, 0, odd(1, -99), 1]))], {}),
            lambda: ("Slice", [x, *(self.weight([n]) for n in (odd(0, 9), some(2, 99), odd(2, 9), odd(some(1, 2), 0)))], {}),
            lambda: (
                "Resize",
                [x, "", self.weight(np.float32([1, 1, odd(2, 0.5, -1), 2]))],
                {"mode": some("nearest", "linear")},
            ),
            lambda: (odd("Relu", "Unknown"), [odd(x, "nowhere")], {}),
        )
        return self.dice.choice(makers)()

    def proto(self) -> onnx.ModelProto:
        """A model of one to six nodes; shapes are those that shape inference finds, while it does."""
        dice, shape, x = self.dice, [1, self.some(2, 4), self.some(4, 8), self.some(4, 8)], "x"
        nodes = []
        for number in range(dice.randint(1, 6)):
            op, inputs, attributes = self.node(x, shape)
            nodes.append(helper.make_node(op, inputs, [f"t{number}"], name=f"n{number}", **attributes))
            model = self.model(nodes, [1, *shape[1:]] if not number else None)
            x = f"t{number}"
            inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
            dims = [d.dim_value for d in inferred[x].type.tensor_type.shape.dim] if x in inferred else []
            shape = dims if len(dims) == 4 and min(dims) > 0 else shape
        return self.model(nodes)

    def model(self, nodes: list[onnx.NodeProto], first: list[int] | None = None) -> onnx.ModelProto:
        """The model of some nodes."""
        self.first = first or getattr(self, "first", [1, 2, 4, 4])
        made = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.first)],
            [onnx.ValueInfoProto(name=nodes[-1].output[0], type=helper.make_tensor_type_proto(TensorProto.FLOAT, None))],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def spoilt(proto: onnx.ModelProto, dice: random.Random) -> bytes:
    """A model as a file that is broken, or asks for more than there is."""
    data = proto.SerializeToString()
    match dice.randrange(9):
        case 0:
            return data[: dice.randrange(len(data))]
        case 1:
            at = dice.randrange(len(data))
            return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        case 2:
            proto.opset_import[0].version = dice.choice((1, 6, 99, 2**40))
        case 3 if proto.graph.initializer:
            proto.graph.initializer[0].dims[:] = [dice.choice((-1, 2**20, 2**62))] * 2
        case 4:
            sides = numpy_helper.from_array(np.array([2 ** dice.choice((20, 31, 40))] * dice.choice((1, 2))), "sides")
            proto.graph.initializer.append(sides)
            proto.graph.node.insert(0, helper.make_node("ConstantOfShape", ["sides"], ["large"]))
            proto.graph.node.append(helper.make_node("ReduceSum", ["large"], ["sum"]))
            proto.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, None))
        case 5:
            proto.graph.node.add().CopyFrom(proto.graph.node[0])
        case 6:
            proto.graph.node[0].input[0] = proto.graph.node[-1].output[0]
        case 7 if proto.graph.initializer:
            tensor = proto.graph.initializer[0]
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            places = {"location": dice.choice(("w", "../w", "/dev/zero", "a\0b")), "offset": dice.choice(("-1", "x", "0"))}
            for key, value in places.items():
                tensor.external_data.add(key=key, value=value)
        case _:
            return data.replace(b"n0", dice.choice((b"\xff\xfe", b"\x1b\x07"))).replace(b"t0", b"t\x1b")
    return proto.SerializeToString()


def drawn(seed: int) -> Drawn:
    """The graph of a seed; a quarter of them are spoilt as files."""
    dice = random.Random(seed)  # noqa: S311  dice, no secrets
    proto = Graphs(dice).proto()
    return Drawn(spoilt(proto, dice), comparable=False) if dice.random() < 0.25 else Drawn(proto.SerializeToString(), True)


def checked(path: Path) -> Seen:
    """A file against all targets, as the command does it, but in this process."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    try:
        found = check_all(read_model(str(path)), [load_target(name) for name in target_names()], "m")
        code, line = int(any(f.level in ("refused", "fallback") for one in found for f in one.findings)), ""
    except InputError as error:
        code, line = 2, str(error)
    except Exception as error:  # noqa: BLE001  that is what is looked for
        code, line = 3, f"{type(error).__name__}: {error}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return Seen(code, line, grown, time.perf_counter() - began)


def run_by_onnxruntime(data: bytes) -> str:
    """What ONNX Runtime makes of a graph: ``ran``, ``no kernel``, or the line with which it refuses."""
    import onnxruntime as ort  # noqa: PLC0415

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        session.run(None, {v.name: np.ones(v.shape, np.float32) for v in session.get_inputs()})
    except Exception as error:  # noqa: BLE001  its errors are not public
        line = str(error).splitlines()[0]
        return "no kernel" if "NOT_IMPLEMENTED" in line else line
    return "ran"


def runtime_says(data: bytes) -> str:
    """The same in a process of its own: it divides by a stride of 0, which ends a process."""
    try:
        return guarded(lambda: run_by_onnxruntime(data), "the runtime", seconds=60)
    except InputError as error:
        return str(error)


def mistakes(seed: int, graph: Drawn, seen: Seen, asked: int) -> Iterator[str]:
    """What is wrong with a check; the runtime is asked about one graph of so many."""
    if seen.code == 3 or "\n" in seen.line:
        yield f"{seed}: {seen.line}"
    if seen.grown > MOST_BYTES or seen.seconds > MOST_SECONDS:
        yield f"{seed}: took {seen.grown} bytes and {seen.seconds:.1f} s"
    if graph.comparable and seed % asked == 0:
        said = runtime_says(graph.data)
        if (said == "ran" and seen.code == 2) or (said not in ("ran", "no kernel") and seen.code < 2):
            yield f"{seed}: exit code {seen.code} {seen.line}, and the runtime: {said}"


def fuzz(seeds: range, folder: Path, asked: int = 1) -> tuple[Counter[str], list[str]]:
    """How many graphs came to what, and all that is wrong."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in seeds:
        graph, path = drawn(seed), folder / "m.onnx"
        path.write_bytes(graph.data)
        seen = checked(path)
        counts[f"{'graphs' if graph.comparable else 'spoilt files'}: exit code {seen.code}"] += 1
        wrong += mistakes(seed, graph, seen, asked)
    return counts, wrong


def main() -> None:
    """Fuzz, and write what came of it."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
        os.chdir(folder)
        counts, wrong = fuzz(range(number), Path(folder))
    lines = [f"{number} random small graphs, checked against all targets and held against ONNX Runtime:", ""]
    lines += [f"* {name}: {counts[name]}" for name in sorted(counts)]
    lines += ["", f"{len(wrong)} tracebacks, over-allocations, or exit codes that the runtime contradicts."]
    text = "\n".join(lines) + "\n"
    print(text, *wrong, sep="\n")
    if number >= 1000:
        RESULT.write_text(f"# Random graphs\n\n{text}")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
