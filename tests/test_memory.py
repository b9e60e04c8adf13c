"""Memory: what the process measures on real graphs, and the words for a difference."""

import pytest
import torch
from torch import nn

from attnbench.core.records import Case
from attnbench.graph.cost import activation_peak
from attnbench.graph.export import to_onnx
from attnbench.graph.load import parse
from attnbench.measure.timing import time_in_process
from attnbench.runs.facts import MemoryFact
from attnbench.runs.figures import memory_figures, memory_note

MEGABYTE = 1_000_000


def fact(**peaks):
    known = {name: value for name, value in peaks.items() if name.endswith("_peak")}
    return MemoryFact(case=Case("h", "s=m", "8x8"), **known)


class Attention(nn.Module):
    """A map of 900 x 900 scores, which softmax turns over in place."""

    def forward(self, x):
        tokens = x.flatten(2)
        scores = torch.softmax(tokens.transpose(1, 2) @ tokens, dim=-1)
        return (tokens @ scores).view_as(x)


def measured(folder, module, shape):
    torch.manual_seed(0)
    path = folder / "g.onnx"
    path.write_bytes(to_onnx(module.eval(), shape, canonical=True))
    job = {"kind": "memory", "model": str(path), "seed": 0, "warmup": 1, "step_seconds": 10.0}
    return path, job


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory):
    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 3, 1)]
    path, job = measured(tmp_path_factory.mktemp("memory"), nn.Sequential(*layers), (1, 3, 128, 128))
    return path, [time_in_process(job, 60) for _ in range(3)]


def test_the_peak_repeats_to_a_fifth_of_a_megabyte_over_processes(convolutions):
    peaks = [result["run_peak"] for result in convolutions[1]]
    assert max(peaks) - min(peaks) <= 0.2 * MEGABYTE


def test_the_peak_is_that_of_the_live_activations(convolutions):
    path, results = convolutions
    static = activation_peak(parse(path.read_bytes()))
    assert static == 2 * 64 * 128 * 128 * 4
    for result in results:
        assert result["static_peak"] == result["in_place_peak"] == static
        assert result["run_peak"] == pytest.approx(static, abs=0.5 * MEGABYTE)
        assert result["session_peak"] > 0
        assert memory_note(fact(**result)) == ""


def test_an_op_in_place_is_the_reason_of_a_smaller_peak(tmp_path):
    _, job = measured(tmp_path, Attention(), (1, 16, 30, 30))
    result = time_in_process(job, 60)
    scores = 900 * 900 * 4
    assert result["static_peak"] >= 2 * scores
    assert result["in_place_peak"] < result["static_peak"] - 0.9 * scores
    assert result["run_peak"] == pytest.approx(result["in_place_peak"], abs=MEGABYTE)
    assert memory_note(fact(**result)).startswith("static 6.5")
    assert "ops that work in place −3." in memory_note(fact(**result))


def test_what_is_not_known_is_called_unknown():
    result = {
        "run_peak": 20 * MEGABYTE,
        "plain_peak": 17 * MEGABYTE,
        "static_peak": 10 * MEGABYTE,
        "in_place_peak": 10 * MEGABYTE,
    }
    note = memory_note(fact(**result, session_peak=0))
    assert note == (
        "static 10.0 MB: buffers that the runtime keeps for reuse +3.00 MB, unknown (scratch memory of kernels?) +7.00 MB"
    )
    assert memory_note(fact(**{**result, "run_peak": 11 * MEGABYTE})) == ""


def test_a_graph_without_names_has_a_measured_peak_only():
    result = {"run_peak": 5, "plain_peak": 5, "session_peak": 7, "static_peak": None, "in_place_peak": None}
    found = {m.metric: m.value for m in memory_figures(fact(**result))}
    assert found == {"memory_peak": 5, "memory_session_peak": 7, "activation_peak_runtime": None}
