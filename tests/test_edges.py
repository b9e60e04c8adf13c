"""The edges of every command: what the system refuses, what is left of a file, and a crash that cannot pass for an answer."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.core.errors import InputError
from attnbench.core.files import write_whole
from attnbench.core.guarded import Crashed, guarded
from attnbench.core.naming import shown, slug, steers
from attnbench.measure.sweep import new_folder
from attnbench.runs.merge import keep, merge
from attnbench.runs.store import RUN_FILE, RunWriter, find_unfinished


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sweep", "--batch", "1e23"], "Invalid value for '--batch'"), (["sweep", "--nothing"], "No such option"),
        (["report"], "Missing argument"), (["swep"], "No such command 'swep'"), (["list", "nothing"], "Invalid value for"),
        (["sweep", "--variant", " "], "argument 3 is empty"), (["report", "\x1b[31m"], r"\x1b[31m"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_parsed_is_one_line_too(refused, arguments, says):
    assert says in refused(*arguments)


def test_what_the_system_refuses_is_one_line_with_the_file(command, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "x" * 300)

    monkeypatch.setattr("attnbench.runs.store.find_run", refuse)
    code, out, err = command("report", "anything")
    assert (code, out) == (2, "")
    assert err == f"attnbench: {'x' * 300}: File name too long\n"


def test_a_standard_output_that_is_full_is_one_line():
    script = "import sys; sys.argv = ['attnbench', 'list', 'formats']; from attnbench.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "attnbench: the answer cannot be written: No space left on device\n")


def test_a_command_of_ours_that_is_ended_by_others_is_a_crash(command, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("attnbench.report.listing.formats", lambda: sys.exit(0))
    code, _, err = command("list", "formats")
    assert code == 70
    assert err.count("\n") == 1
    assert "code that is not ours ended the process" in err
    (trace,) = tmp_path.glob("attnbench-crash-*")
    assert str(trace) in err
    assert "SystemExit" in trace.read_text()


def test_a_defect_of_ours_in_a_guarded_process_is_no_bad_file():
    def ours():
        from attnbench.core.units import bytes_text

        return bytes_text("no number")  # raised by a line of the package

    with pytest.raises(Crashed) as caught:
        guarded(ours, "model 'm'")
    assert "units.py" in caught.value.trace

    def others():
        return int("no number")

    with pytest.raises(InputError, match="model 'm': cannot be judged .ValueError"):
        guarded(others, "model 'm'")


def test_a_search_for_rewrites_that_fails_is_told_and_takes_no_verdict_away(monkeypatch, command, tmp_path):
    import onnx
    from made import proto_of

    model = proto_of([("Transpose", ["x"], ["y"], {"perm": [0, 2, 3, 1]})], {"x": (1, 3, 8, 8)}, {"y": (1, 8, 8, 3)}, {})
    onnx.save(model, tmp_path / "m.onnx")

    def fails(*_):
        raise KeyError("lost")

    monkeypatch.setattr("attnbench.npu.substitutes.cures", fails)
    code, out, err = command("check", tmp_path / "m.onnx", "--target", "aimotive")
    assert (code, err.count("\n")) == (1, 1), out
    assert "no rewrites were looked for, by a defect of attnbench: KeyError: 'lost'" in err


def test_a_file_is_written_in_one_step_and_the_old_one_stays_where_that_fails(tmp_path, monkeypatch):
    path = tmp_path / "answer.md"
    write_whole(path, "old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(InputError, match=r"cannot write .*answer.md: No space left"):
            write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "link").symlink_to(path)
    write_whole(tmp_path / "link", "through the link")
    assert path.read_text() == "through the link"
    assert (tmp_path / "link").is_symlink()


def test_a_merge_that_the_disk_ends_leaves_no_run_and_goes_on_with_the_same_command(tmp_path, monkeypatch):
    data = Path(__file__).parent / "data" / "run-2026-11-21-shards.jsonl"
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / RUN_FILE).write_bytes(data.read_bytes())
    from attnbench.runs.store import read_run_file

    whole = read_run_file(tmp_path / "one")
    real, calls = RunWriter.append, []

    def full(self, entry):
        calls.append(entry)
        if len(calls) > 1:
            raise InputError("takes no more: No space left on device")
        real(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "append", full)
        with pytest.raises(InputError, match="takes no more"):
            keep(whole, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    keep(whole, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [RUN_FILE]
    with pytest.raises(InputError, match="two runs at least"):
        merge([tmp_path / "out"])


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mine", "mine"),
        ("../../escape", "escape"),
        ("a/b", "a-b"),
        ("[a-z]*", "a-z"),
        ("..", "study"),
        ("größe 2", "größe-2"),
    ],
)
def test_the_name_of_a_study_becomes_a_folder_of_the_results_and_no_other(tmp_path, name, folder):
    assert slug(name) == folder
    first = new_folder(tmp_path, name)
    assert first.parent == tmp_path
    first.mkdir()
    assert new_folder(tmp_path, name) not in (first, new_folder(tmp_path, "other")), "two of one second do not meet"
    assert find_unfinished(tmp_path, name, "x") is None


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u200f", "\ufeff", "\u2028"])
def test_what_a_terminal_would_obey_is_written_out(sign):
    assert steers(f"a{sign}b")
    assert not steers(shown(f"a{sign}b"))
    assert shown("two\nlines\tand a tab, größe") == "two\nlines\tand a tab, größe"


def test_a_name_with_a_quote_can_be_addressed():
    from attnbench.core.grammar import parse_spec, parse_variant, quote

    assert parse_variant(f"{quote(chr(39) + 'a')}=se").assignments[0].places == ("'a",)
    assert parse_spec("it's.py:Gate").name == "it's.py:Gate"
    assert str(parse_variant(f"x={parse_spec(chr(105) + chr(116) + chr(39) + 's.py:Gate')}")) == "x='it''s.py:Gate'"
    with pytest.raises(InputError, match="one within a name is doubled, and the name quoted: 'it''s'"):
        parse_variant("it's=se")


def test_importing_this_turns_onnxruntimes_telemetry_off():
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        (None, "claims"), ([{"metric": "speed", "value": 1}], "unknown metric"),
        ([{"metric": "overhead_pct", "value": "much"}], "value of overhead_pct must not be 'much'"),
    ],
)  # fmt: skip
def test_a_header_whose_claims_are_none_is_one_line(refused, tmp_path, claims, says):
    head, *facts = Path(__file__).parent.joinpath("data", "run-2026-11-21-first.jsonl").read_text().splitlines()
    header = json.loads(head)
    header["study"]["cases"] = [{"variant": "baseline", **({} if claims is None else {"claims": claims})}]
    (tmp_path / "run.jsonl").write_text("\n".join((json.dumps(header), *facts)) + "\n")
    assert says in refused("report", tmp_path, "--format", "junit")
