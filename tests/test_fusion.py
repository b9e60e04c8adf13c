"""Modules where the runtime had fused something: in a real session the baseline runs nodes that the variant does not."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from attnbench import run_study
from attnbench.graph.export import to_onnx

FAST = {"processes": 2, "max_processes": 2, "warmup": 1, "repeat": 3, "rounds": 6, "memory": False}


class Residual(nn.Module):
    """A convolution whose ReLU, and one whose addition and ReLU, the runtime fuses into it."""

    def __init__(self, width=32):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.one = nn.Conv2d(width, width, 3, 1, 1)
        self.two = nn.Conv2d(width, width, 3, 1, 1)
        self.head = nn.Conv2d(width, 8, 3, 1, 1)

    def forward(self, image):
        x = torch.relu(self.stem(image))
        x = torch.relu(self.two(torch.relu(self.one(x))) + x)
        return self.head(x)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fusion")
    torch.manual_seed(0)
    path = folder / "residual.onnx"
    path.write_bytes(to_onnx(Residual().eval(), (1, 3, 96, 96), canonical=True))
    import onnx

    graph = onnx.load(path).graph
    before_relu, before_add = (next(n.input[0] for n in graph.node if n.op_type == op) for op in ("Relu", "Add"))
    variants = {"relu": f"'{before_relu}'=se_npu", "add": f"'{before_add}'=se_npu"}
    asked = {"hosts": [str(path)], "case": [{"variant": text} for text in variants.values()]}
    stored = run_study(asked, out=folder / "out", **FAST)
    records = {
        name: next(r for r in stored.records if r.case.variant == text.replace("'", "")) for name, text in variants.items()
    }
    return records, path


def kinds(record):
    return {(node.op, node.kind) for node in record.nodes}


def test_between_a_convolution_and_its_relu_the_relu_comes_to_light(run):
    record = run[0]["relu"]
    assert ("Relu", "unfused") in kinds(record)
    assert not any(kind == "removed" for _, kind in kinds(record))


def test_between_a_convolution_and_its_addition_the_fused_one_is_gone(run):
    record = run[0]["add"]
    assert {("Add", "unfused"), ("Relu", "unfused"), ("Conv", "changed")} <= kinds(record)
    convolutions = [
        node.kind for node in record.nodes if node.op == "Conv" and node.kind in ("changed", "removed", "unfused")
    ]
    assert convolutions == ["changed"], "it counts by its difference: neither is it gone, nor is it new"


@pytest.mark.parametrize("where", ["relu", "add"])
def test_shares_add_up_and_nearly_all_is_aligned(run, where):
    record = run[0][where]
    assert record.status == "ok"
    assert 0.8 < record.value("aligned") <= 1
    assert sum(node.share for node in record.nodes) == pytest.approx(record.value("overhead"))


def test_the_fusions_are_the_runtimes_own(run):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(run[1].with_name("optimised.onnx"))
    session = ort.InferenceSession(run[1], options)
    session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, 96, 96), np.float32)})
    import onnx

    ops = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert not {"Relu", "Add"} & set(ops)
