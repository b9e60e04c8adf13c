"""The command line: bad input is one line and exit code 2, and the reading commands read."""

import subprocess
import sys
import time

import pytest


@pytest.fixture
def stored(store, run):
    return store(run)


SE = "--module se --place encoder.layer1"
BAD = [
    ("--module see --place encoder.layer1", "unknown module 'see': did you mean 'se'"),
    ("--module se --place encoder.layr1", "did you mean 'encoder.layer1'"),
    ("--host resnetsan --module se --place x", "did you mean 'resnetsan01'"),
    (f"{SE} --target aimotiv", "did you mean 'aimotive'"),
    (f"{SE} --target no.toml", "there is no file no.toml"),
    (f"{SE} --size 384*640", "size '384*640' is not HEIGHTxWIDTH"),
    (f"{SE} --size 0x0", "has no pixels"),
    (f"{SE} --size 33x65", "multiples of 32, not 33x65: try 32x64"),
    ("--module se[reduction=x] --place encoder.layer1", "takes a whole number"),
    ("--module se", "--module needs --place"),
    ("--tap se --place encoder.layer1", "'se' is no tap: give it by --module (taps: at, at_conv, at_reduce)"),
    ("--tap att --place encoder.layer1", "unknown tap 'att': did you mean 'at'"),
    (f"{SE} --threads two", "--threads takes whole numbers"),
    (f"{SE} --threads 0", "settings: threads 1 must be a whole number >= 1, not 0"),
    (f"{SE} --repeat 0", "settings: repeat must be a whole number >= 1, not 0"),
    (f"{SE} --precision fine", "precision 'fine' is not understood: write points"),
    (f"{SE} --optimization full", "unknown optimization in settings 'full': did you mean 'all'?"),
    (f"{SE} --provider xnnpack", "unknown execution provider of the installed"),
    ("none.toml", "there is no file none.toml"),
    ("--host none.onnx --module se --place x", "there is no such file"),
    ("--host none.py:build --module se --place x", "there is no file none.py"),
    (f"--host {__file__}:build --module se --place each", "has no sites for place 'each'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_line_and_exit_code_two(refused, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("sweep", *arguments.split())
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_one_line(command, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = command(
        "sweep", "--module", "se", "--place", "encoder.layer1", "--size", "32x32", "--out", tmp_path / "file" / "x"
    )
    assert code == 2
    assert "cannot write to" in err
    assert err.count("\n") == 1


def test_list_shows_what_exists(command):
    for what, words in [
        ("modules", ["se_npu", "reduction=16 (at least 1), minimum=8", "Woo et al."]), ("hosts", ["resnetsan01", "multiples of 32"]),
        ("placements", ["decoder.fusion", "decoder.upconv4 decoder.upconv3", "encoder.layer3"]),
        ("targets", ["aimotive", "unknown", "Hailo"]),
    ]:  # fmt: skip
        code, out, _ = command("list", what)
        assert code == 0
        assert all(word in out for word in words)
    code, _, err = command("list", "placements", "--host", "resnetsan")
    assert code == 2
    assert "did you mean 'resnetsan01'" in err


def test_report_and_explain_read_a_stored_run(command, stored, tmp_path):
    code, out, _ = command("report", stored, "--format", "csv")
    assert code == 0
    assert out.startswith("host,variant")
    code, out, _ = command("report", "latest", "--results", stored.parent)
    assert "# A made run" in out
    code, _, _ = command("report", stored, "-o", tmp_path / "r.md")
    assert (tmp_path / "r.md").read_text().startswith("# A made run")
    code, out, _ = command("explain", stored, "encoder.layer3=cbam_npu")
    assert code == 0
    assert "3.000 % of the baseline's time" in out
    assert "constrained" in out
    assert "Deployment checklist" in out
    code, out, _ = command("explain", stored, "self_attention")
    assert "was skipped: memory: needs 41 GB" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nowhere"], "there is no run file nowhere"), (["explain", "{}", "encoder.layer3=ecaa"], "did you mean 'encoder.layer3=eca'"),
        (["report", "{}", "--format", "cvs"], "did you mean 'csv'"), (["report", "{}", "-o", "/nowhere/x.md"], "cannot write /nowhere/x.md"),
    ],
)  # fmt: skip
def test_reading_what_is_not_there_is_one_line(command, stored, arguments, message):
    code, _, err = command(*[argument.format(stored) for argument in arguments])
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_help_answers_at_once():
    """Not a benchmark: the bound is loose, and stands for 'imports nothing heavy', which test_layers holds exactly."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "from attnbench.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - began < 5
    assert "sweep" in done.stdout
