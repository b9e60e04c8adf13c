"""Run files: round trips, torn lines, full disks, and two writers."""

import json
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from msgspec import structs

from attnbench.core.errors import InputError
from attnbench.core.records import Case, Measurement, Record
from attnbench.runs.facts import (
    BuiltFact,
    FailedFact,
    LatencyFact,
    MemoryFact,
    PairsFact,
    ProfileFact,
    decode,
    encode,
)
from attnbench.runs.store import find_case, find_unfinished, finished, latest_run, load_run, open_run


@pytest.fixture
def folder(tmp_path, run):
    where = tmp_path / "made-1"
    with open_run(where, run.header) as writer:
        for record in run.records:
            writer.append(record)
    return where


def test_a_run_comes_back_as_it_was(folder, run):
    assert load_run(folder) == run
    assert load_run(folder / "run.jsonl") == run


def test_every_record_survives_json(run):
    for record in run.records:
        assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_the_last_record_of_a_case_holds(folder, run):
    newer = replace(run.records[1], notes=("again",))
    with open_run(folder, run.header) as writer:
        writer.append(newer)
    assert load_run(folder).records[1] == newer


def test_every_fact_survives_json():
    case = Case("h", "s=m", "8x8")
    facts = [
        BuiltFact(case=case, sources="a", measurements=(Measurement("params", 12, exact=True),), stages={"build": 1.5}),
        ProfileFact(case=case, number=1, core_share=0.9, overhead=0.01, nodes=(("n", "Mul", "s", "added", 1e-3, 0.01),)),
        PairsFact(case=case, number=0, wall=((1.0, 2.0),), cpu=((1.0, 1.5),)),
        LatencyFact(case=case, number=0, threads=2, wall=(0.1, 0.2)),
        MemoryFact(case=case, run_peak=10),
        FailedFact(case=case, step="build", stage="export", kind="CaseFailure", message="no", status="refused"),
    ]
    assert [decode(encode(fact)) for fact in facts] == facts
    assert isinstance(decode(encode(facts[0])).measurements[0].value, int)


def test_a_fact_of_a_newer_version_is_read_without_what_is_new(tmp_path, run):
    line = {
        "fact": "latency",
        "case": structs.asdict(run.records[0].case),
        "number": 0,
        "threads": 1,
        "wall": [0.1],
        "new": {},
    }
    with open_run(tmp_path, replace(run.header, schema=2)):
        pass
    path = tmp_path / "run.jsonl"
    path.write_bytes(path.read_bytes() + json.dumps(line, separators=(",", ":")).encode() + b"\n")
    assert load_run(tmp_path).records[0].value("latency") == 0.1


def test_a_run_is_finished_when_no_replicate_is_to_come(run):
    assert finished(run)
    assert not finished(replace(run, records=run.records[:-1]))
    assert not finished(replace(run, records=(replace(run.records[0], pending=1), *run.records[1:])))


def test_one_line_of_pandas_reads_it(folder, run):
    assert len(pd.read_json(folder / "run.jsonl", lines=True)) == 1 + len(run.records)


def test_a_torn_last_line_is_dropped_on_reading_and_cut_off_on_writing(folder, run):
    path = folder / "run.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert load_run(folder).records == run.records[:-1]
    with open_run(folder, run.header) as writer:
        writer.append(run.records[-1])
    assert load_run(folder) == run


def test_a_header_torn_in_two_starts_anew(tmp_path, run):
    (tmp_path / "run.jsonl").write_text('{"schema": 1, "attn')
    with open_run(tmp_path, run.header):
        pass
    assert load_run(tmp_path).header == run.header


def test_a_full_disk_keeps_what_there_is_and_says_what_to_do(folder, run):
    class Full:
        """A file on a disk with room for ten more bytes."""

        def __init__(self, file):
            self.file = file

        def write(self, data):
            if len(data) > 10:
                return self.file.write(data[:10])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(self.file, name)

    before = (folder / "run.jsonl").read_bytes()
    with open_run(folder, run.header) as writer:
        writer._file = Full(writer._file)
        with pytest.raises(InputError, match="No space left on device. All that was recorded is kept"):
            writer.append(run.records[0])
    assert (folder / "run.jsonl").read_bytes() == before


def test_a_write_that_the_system_refuses_is_one_line_and_not_a_torn_file(folder):
    """The real thing, with a limit on the file's size in the place of a full disk."""
    size = (folder / "run.jsonl").stat().st_size
    script = f"""
import resource
from pathlib import Path
from attnbench.core.errors import InputError
from attnbench.runs.store import load_run, open_run
run = load_run({str(folder)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 100}, {size + 100}))
with open_run(Path({str(folder)!r}), run.header) as writer:
    try:
        writer.append(run.records[1])
    except InputError as error:
        print(error)
"""
    before = (folder / "run.jsonl").read_bytes()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "takes no more: File too large. All that was recorded is kept; make room" in done.stdout
    assert (folder / "run.jsonl").read_bytes() == before


def test_two_writers_do_not_meet(folder, run):
    with (
        open_run(folder, run.header),
        pytest.raises(InputError, match="being written by another sweep"),
        open_run(folder, run.header),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "empty"), ("hello\n", "not the header of a run"), ('{"schema": 99}\n', "not the header of a run")],
)
def test_what_is_no_run_is_one_line(tmp_path, content, message):
    (tmp_path / "run.jsonl").write_text(content)
    with pytest.raises(InputError, match=message):
        load_run(tmp_path)


def test_a_newer_schema_and_a_broken_line_are_named(folder):
    path = folder / "run.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0].replace('"schema":1', '"schema":3'), *lines[1:]]) + "\n")
    with pytest.raises(InputError, match="written with schema 3; this attnbench reads up to 2"):
        load_run(folder)
    path.write_text("\n".join([lines[0], "{}", *lines[2:]]) + "\n")
    with pytest.raises(InputError, match="line 2 is not a record"):
        load_run(folder)
    path.write_text("\n".join([lines[0], '{"fact":"profile","case":3}', *lines[2:]]) + "\n")
    with pytest.raises(InputError, match="line 2 is not a fact"):
        load_run(folder)


def test_a_folder_without_a_run_and_one_that_cannot_be_written(tmp_path, run):
    with pytest.raises(InputError, match="there is no run file"):
        load_run(tmp_path)
    with pytest.raises(InputError, match="there is no run below"):
        latest_run(tmp_path)
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="cannot write to .*: choose another folder with --out"),
        open_run(tmp_path / "file", run.header),
    ):
        pass


def test_an_unfinished_run_is_found_by_its_fingerprint(folder, run):
    assert find_unfinished(folder.parent, "made", "0") is None
    path = folder / "run.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert find_unfinished(folder.parent, "made", "0") == folder
    assert find_unfinished(folder.parent, "made", "1") is None
    assert latest_run(folder.parent) == path


def test_a_case_is_found_by_variant_or_by_enough_of_its_label(run):
    assert find_case(run, "encoder.layer3=eca").case.variant == "encoder.layer3=eca"
    assert find_case(run, "self_att").status == "skipped"
    with pytest.raises(InputError, match="fits 3"):
        find_case(run, "encoder.layer3")
    with pytest.raises(InputError, match="did you mean 'encoder.layer3=eca'"):
        find_case(run, "encoder.layer3=ecaa")


def test_a_metric_of_an_older_file_is_read_by_the_name_it_has_now():
    stored = {"case": {"host": "h", "variant": "baseline", "size": "1x1"}, "status": "ok"}
    record = Record.from_json({**stored, "measurements": [{"metric": "twin", "value": 0.03, "samples": [0.02, 0.04]}]})
    assert record.get("twin") is None
    assert record.get("aa_repeat").samples == (0.02, 0.04)
