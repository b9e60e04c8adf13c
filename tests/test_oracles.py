"""Targets beside the tools that can be asked: the form that Vela reads computes what the graph does, and the result is whole."""

import re
import tomllib
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from made import model_of

from attnbench.modules import module_names
from attnbench.targets import target_names

ROOT = Path(__file__).resolve().parents[1]
RESULT = (ROOT / "results" / "oracles.md").read_text(encoding="utf-8")
GRAPHS = (
    "Conv 1x4x9x7 ~6x4x3x3 pads=[1,1,1,1] strides=[2,2]; Relu $1",
    "Conv 1x4x8x8 ~4x1x3x3 ~4 group=4 pads=[1,1,1,1]; Sigmoid $1; Conv $2 ~6x2x1x1 group=2",
    "Conv x:1x4x9 ~4x4x3 pads=[1,1]; Mul $1 x",
    "GlobalAveragePool x:1x4x6x5; Reshape $1 [1,1,4]; Conv $2 ~1x1x3 pads=[1,1]; Reshape $3 [1,4,1,1]; Mul x $4",
    "Reshape x:1x4x6x5 [1,2,2,30]; Transpose $1 perm=[0,1,3,2]; MatMul $2 $1; Softmax $3 axis=-1; ReduceMean $4 [1]",
    "ReduceMax x:1x4x6x5 [1]; ReduceMean x [1]; Concat $1 $2 axis=1; Softmax $3 axis=1; Pad $4 [0,0,1,0,0,0,0,2]",
    "MaxPool 1x4x9x9 kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]; AveragePool $1 kernel_shape=[2,2]; Clip $2 0.1 3.0",
    "Split x:1x4x6x5 axis=1 num_outputs=2; Slice $1 [0] [4] [2] [2]; HardSwish $2; Resize $3 - - [1,2,4,10] mode=linear",
    "ReduceL2 x:1x4x6x5 [2,3]; Div x $1; HardSigmoid $2; Flatten $3; Gemm $4 ~120x3 ~3",
    "ConvTranspose 1x3x4x5 ~3x4x2x3 ~4 strides=[2,3]; Tile $1 [1,1,2,1]; InstanceNormalization $2 ~4 ~4",
    "LayerNormalization 1x9x8 ~8 ~8 axis=-1; MatMul $1 ~8x4; Expand $2 [2,9,4]; Gather $3 [1,0,3] axis=2",
)


@pytest.fixture
def form(monkeypatch):
    pytest.importorskip("ai_edge_litert", reason="TFLite's schema needs the extra oracles")
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "oracles")
    import tflite_form

    return tflite_form


@pytest.mark.parametrize("text", GRAPHS)
def test_the_float_form_of_a_graph_computes_what_the_graph_does(form, text):
    from ai_edge_litert.interpreter import Interpreter

    model = model_of(text)
    (source,) = model.graph.inputs
    given = np.random.default_rng(0).standard_normal(form.shape_of(source), dtype=np.float32)
    wanted = ort.InferenceSession(ir.to_proto(model).SerializeToString()).run(["y"], {source.name: given})[0]
    run = Interpreter(model_content=form.Writer(model, int8=False).write())
    run.allocate_tensors()
    laid = given.transpose(0, 2, 3, 1) if given.ndim == 4 else given
    run.set_tensor(run.get_input_details()[0]["index"], laid)
    run.invoke()
    np.testing.assert_allclose(run.get_tensor(run.get_output_details()[0]["index"]), wanted, rtol=1e-4, atol=1e-5)


def test_what_has_no_form_is_said(form):
    with pytest.raises(form.NotConverted, match="Erf"):
        form.Writer(model_of("Erf 1x4x6x5"), int8=True).write()


def test_every_disagreement_has_its_cause():
    tables = [table.splitlines() for table in RESULT.split("\n\n") if table.startswith("|")]
    told = [line.split("|")[-2].strip() for head, _, *rows in tables if "| cause" in head for line in rows]
    causes = {one["why"] for one in tomllib.loads((ROOT / "benchmarks" / "oracles" / "causes.toml").read_text())["cause"]}
    assert told
    assert set(told) == causes, "a cause is missing, or explains nothing"


def test_every_module_and_each_target_that_can_be_asked_is_in_the_result():
    for name in module_names():
        assert re.search(rf"^\| {name} ", RESULT, re.MULTILINE), name
    asked = {name for name in target_names() if name.startswith(("arm-", "ort-"))}
    assert all(name in RESULT for name in asked)
