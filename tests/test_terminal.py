"""What a person sees: tables that fit a terminal, help, progress, and the commands that begin, list and hand on."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from attnbench.cli import progress, screen
from attnbench.cli.app import app
from attnbench.core.records import Case, NodeShare
from attnbench.core.units import MISSING
from attnbench.report.table import Table

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "results" / "report"


@pytest.fixture
def terminal(monkeypatch, command):
    """The command line on a terminal of a width: arguments in; exit code and lines out."""

    def call(width: int, *arguments: object) -> tuple[int, list[str]]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        code, out, _ = command(*arguments)
        return code, re.sub(r"\x1b\[[\d;]*m", "", out).splitlines()

    return call


LONG = Table.of(
    {"variant": f"encoder.layer1+encoder.layer2=se_npu,decoder.fusion=cbam_npu[reduction={n}]", "NPU": "ok with constraint",
     "overhead (%)": f"{n}.407 [0.380, 0.434]", "why": "a sentence of some words that is longer than a column can be"}
    for n in range(40)
).keyed("variant", minor=("why",))  # fmt: skip

SHOWN = [
    ("report", ("report", REPORT)),
    ("recommend", ("recommend", REPORT)),
    ("compare", ("compare", REPORT, REPORT, "--all")),
    ("track", ("track", REPORT.parent)),
    ("explain", ("explain", REPORT, "encoder.layer3=cbam_npu", "--all")),
    ("modules", ("list", "modules", "--all")),
    ("targets", ("list", "targets", "--ops", "--target", "nvidia-orin-dla-trt10")),
    ("settings", ("list", "settings")),
    ("studies", ("list", "studies")),
    ("formats", ("list", "formats")),
]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("arguments", [words for _, words in SHOWN], ids=[name for name, _ in SHOWN])
def test_what_a_command_shows_fits_the_terminal(terminal, width, arguments):
    code, lines = terminal(width, *arguments)
    assert code in (0, 3)
    assert len(lines) > 3
    assert [line for line in lines if len(line) > width] == []


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_word_is_split_and_no_number_is_taken_apart(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    screen.show(LONG, "Title", everything=True)
    seen = capsys.readouterr().out
    for piece in {piece.strip() for row in LONG.rows for cell in row for piece in screen.pieces(cell)}:
        assert piece in seen
    assert "[0.380, 0.434]" in seen


def test_names_are_folded_at_their_joints():
    assert screen.pieces("encoder.layer3=cbam,a+b") == ["encoder.", "layer3=", "cbam,", "a+", "b"]
    assert screen.pieces("1.27 [1.21, 1.33]") == ["1.27 ", "[1.21, 1.33]"]
    assert screen.pieces("se[reduction=8, x=1.5] 1,907.1") == ["se[reduction=8, x=1.5] ", "1,907.1"]
    assert screen.fold("encoder.layer3=cbam", 8) == ["encoder.", "layer3=", "cbam"]
    assert screen.fold("abcdefgh", 3) == ["abc", "def", "gh"], "only where nothing else helps"


def test_a_long_list_is_cut_and_says_so_and_least_columns_go_first(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    screen.show(LONG, most=20)
    seen = capsys.readouterr().out
    assert "20 more rows; left out: why (--all)" in seen
    assert "a sentence" not in seen
    screen.show(LONG, most=20, everything=True)
    seen = capsys.readouterr().out
    assert seen.count("decoder.fusion=") == 40 == seen.count("sentence")


def test_where_columns_do_not_fit_a_row_is_a_few_lines_with_its_keys_first(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "44")
    words = {"level": "refused", "op": "Transpose", "nodes": "6", "why": "x " * 60, "empty": MISSING}
    screen.show(Table.of([words]).keyed("level", "op"))
    head, *rest = capsys.readouterr().out.splitlines()
    assert head.strip() == "✗ refused  Transpose"
    assert rest[0] == "    nodes 6"
    assert all(line.startswith("    ") for line in rest)
    assert "empty" not in "".join(rest)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("ok", "✓ ok"), ("ok with constraint (ReduceMax)", "! ok with constraint (ReduceMax)"), ("refused 3/5", "✗ refused 3/5"),
        ("fallback to arm", "✗ fallback to arm"), ("failed: export: broke", "✗ failed: export: broke"),
        ("not resolvable (% time); refuted (% MACs)", "? not resolvable (% time); ✗ refuted (% MACs)"),
        ("self-attention: refused", "self-attention: refused"), ("okay", "okay"), ("the ok", "the ok"), ("0.4", "0.4"),
    ],
)  # fmt: skip
def test_a_verdict_has_a_sign_and_keeps_its_words(cell, shown):
    signed = screen._signed(cell)
    assert screen._printed(signed) == shown
    assert bool(screen._colour(signed)) == bool(set("✓!?✗") & set(shown))


def test_targets_words_stand_behind_their_names():
    shown = screen._signed("aimotive: ok; deepx: unknown", "NPU")
    assert screen._printed(shown) == "✓ aimotive: ok; ? deepx: unknown"


def test_several_verdicts_have_the_colour_of_the_worst():
    cells = map(screen._signed, ("ok; refused", "ok; unknown", "ok", "fine"))
    assert list(map(screen._colour, cells)) == ["red", "yellow", "green", ""]


def test_a_name_cannot_steer_the_terminal():
    assert screen._signed("\x1b[31mred\x07") == "�[31mred�"


def test_elsewhere_than_on_a_terminal_nothing_is_folded_cut_or_signed(command):
    _, out, _ = command("recommend", REPORT)
    assert max(map(len, out.splitlines())) > 120
    assert not re.search(r"[✓✗─]|--all", out)


def test_an_explanation_has_a_bar_a_node(terminal):
    _, lines = terminal(80, "explain", REPORT, "encoder.layer3=cbam_npu")
    bars = [re.search(r"[▏▎▍▌▋▊▉█]+", line) for line in lines]
    lengths = [len(bar[0]) for bar in bars if bar]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 12


def test_the_bar_keeps_its_counts_beside_the_longest_name(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    record = replace(run.records[1], case=Case("h", ",".join(f"place.{n}=module" for n in range(40)), "8x8"))
    with progress.Bar() as bar:
        bar.started(Path("r"), 9, 0, 8.0)
        bar.at((record.case,), 2, "profile")
        bar.replicates(3, 27)
        bar.recorded(record, 4.0)
        drawn = [*bar.progress.get_renderables()]
        bar.progress.console.print(*drawn)
    seen = capsys.readouterr().err
    assert re.search(r"1 done, 0 failed, 8 left .* (left|done)\s*$", seen, re.MULTILINE)
    assert re.search(r"^3 of 27 replicates: place\.0=module,.*…$", seen, re.MULTILINE)


def test_latest_can_be_of_one_study(command, refused, run, store):
    kinds = {name: replace(run, header=replace(run.header, study={**run.header.study, "name": name})) for name in "ab"}
    for age, name in enumerate("ab"):
        path = store(kinds[name], name) / "run.jsonl"
        os.utime(path, (1e9 + age, 1e9 + age))
    results = path.parent.parent
    for word, study in (("latest", "b"), ("latest:a", "a"), ("latest:b", "b")):
        code, out, _ = command("report", word, "--format", "json", "--results", results)
        assert (code, json.loads(out)["header"]["study"]["name"]) == (0, study)
    assert "unknown study of a run below" in refused("report", "latest:c", "--results", results)
    code, out, _ = command("compare", "latest:a", "latest", "--results", results)
    assert f"latest:a ({results / 'a'})" in out


def commands(group=None, words=("attnbench",)):
    """Every command with the words that call it."""
    found = group or get_command(app)
    if hasattr(found, "commands"):
        return [one for name, sub in found.commands.items() for one in commands(sub, (*words, name))]
    return [(words, found)]


@pytest.mark.parametrize(("words", "found"), commands(), ids=[" ".join(words[1:]) for words, _ in commands()])
def test_every_help_says_every_default_and_has_an_example_that_parses(words, found):
    context = found.make_context(" ".join(words), [], resilient_parsing=True)
    text = found.get_help(context)
    plain = "".join(text.split())
    for option in found.params:
        if option.param_type_name == "option" and option.name != "help":
            _, told = option.get_help_record(context)
            assert "".join((option.help or "").split()) in plain, "brackets are no markup"
            assert "default: " in told or "required" in told or option.is_flag, option.name
    examples = [line.strip() for line in found.epilog.splitlines()[2:]]
    assert examples
    for example in examples:
        assert example in text
        *_, (_, *rest) = (shlex.split(part) for part in example.split(" && ")[:1])
        own = rest[len(words) - 1 :]
        assert rest[: len(words) - 1] == list(words[1:])
        found.make_context(" ".join(words), own).close()


def test_the_list_of_commands_is_of_whole_sentences(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = command("--help")
    listed = out.partition("Commands:")[2].partition("Examples:")[0].strip().splitlines()
    assert len(listed) == len(get_command(app).commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)


def test_help_shows_each_option_of_sweep_once_in_a_group(command):
    from attnbench.cli.sweep import GROUPS

    grouped = [name for names in GROUPS.values() for name in names.split()]
    own = [param.name for param in get_command(app).commands["sweep"].params if param.name != "study"]
    assert sorted(grouped) == sorted(own)
    _, out, _ = command("sweep", "--help")
    titles = [line[:-1] for line in out.splitlines() if re.fullmatch(r"[A-Z].*:", line)]
    assert titles == ["Arguments", *GROUPS, "Options"]


def test_the_default_of_fail_on_that_help_shows_is_the_one_that_holds():
    from attnbench.judge.compare.gates import DEFAULT

    (option,) = (option for option in get_command(app).commands["compare"].params if option.name == "fail_on")
    assert option.show_default == DEFAULT


def test_the_version_and_the_module_answer():
    import attnbench

    for tool in (["-m", "attnbench"], ["-c", "from attnbench.cli import main; main()"]):
        done = subprocess.run([sys.executable, *tool, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"attnbench {attnbench.__version__}\n"


def test_list_shows_studies_settings_and_formats(command):
    from attnbench.core.protocol import Effort, Protocol
    from attnbench.report import FORMATS

    for what, words in {
        "studies": ["report", "quick", "literature"],
        "settings": [*Protocol.__struct_fields__, *Effort.__struct_fields__],
        "formats": FORMATS.names(),
    }.items():
        code, out, _ = command("list", what)
        assert code == 0
        assert [line.split()[0] for line in out.splitlines()[2:] if line.split()[0] in words] == sorted(
            words, key=words.index
        ) or (set(words) <= {line.split()[0] for line in out.splitlines()[2:]})


def entries(text: str, kind: str) -> dict[str, dict[str, object]]:
    """What an attachment says of each thing of a kind, by name."""
    document = json.loads(text)
    assert document["signature"] == "netron:attachment"
    found: dict[str, dict[str, object]] = {}
    for one in (*document["metadata"], *document["metrics"]):
        assert set(one) == {"kind", "target", "name", "value"}
        if one["kind"] == kind:
            found.setdefault(one["target"], {})[one["name"]] = one["value"]
    return found


def test_an_attachment_has_all_of_an_overhead_and_every_verdict():
    from attnbench.report.netron import of_record
    from attnbench.runs.store import load_run

    for record in load_run(REPORT).records:
        if record.case.is_baseline or record.value("overhead") is None:
            continue
        text = of_record(record)
        nodes, whole = entries(text, "node"), entries(text, "model")[""]
        shares = [one["overhead (%)"] for one in nodes.values() if "overhead (%)" in one]
        apart = [value for name, value in whole.items() if name.endswith("(overhead, %)")]
        assert sum(shares) + sum(apart) == pytest.approx(100 * record.value("overhead"), abs=0.01)
        assert {f.node for f in record.findings if f.inserted} <= set(nodes)
        added = 100 * sum(node.share for node in record.nodes if node.kind == "added")
        assert sum(shares) >= 0.8 * added - 0.002, "nodes of the runtime find theirs in the file"


def test_a_trace_has_a_track_for_each_kind_of_node_and_loses_no_time():
    from attnbench.measure.export import TracedNode
    from attnbench.report.perfetto import TRACKS, trace_text

    nodes = [
        TracedNode("conv", "Conv", "host", 0.002), TracedNode("@a@0.se@/mul", "Mul", "added", 0.001, "a"),
        TracedNode("ReorderOutput", "ReorderOutput", "layout", 0.0005, "a"), TracedNode("conv2", "Conv", "host", 0.001),
    ]  # fmt: skip
    events = json.loads(trace_text("case", nodes))["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    drawn = [event for event in events if event["ph"] == "X"]
    assert [tracks[event["tid"]] for event in drawn] == [TRACKS[node.part] for node in nodes]
    assert [event["ts"] for event in drawn] == [0, 2000, 3000, 3500]
    assert drawn[-1]["ts"] + drawn[-1]["dur"] == pytest.approx(1e6 * sum(node.seconds for node in nodes))


def test_a_case_is_exported_as_a_file_and_as_a_trace(command, refused, tmp_path, monkeypatch, user_file):
    import onnx

    monkeypatch.chdir(tmp_path)
    asked = ("body=mine.py:Gate[scale=2.0]", "--host", "mine.py:build", "--site", "body=body", "--size", "16x24")
    code, out, _ = command("export", *asked, "-o", "case.onnx")
    assert (code, out) == (0, "wrote case.onnx: mine.py:build 16x24 body=mine.py:Gate[scale=2.0]\n")
    model = onnx.load("case.onnx")
    onnx.checker.check_model(model, full_check=True)
    inserted = [node.name for node in model.graph.node if node.name.startswith("@body@0.")]
    assert inserted
    assert not any(onnx.external_data_helper.uses_external_data(weight) for weight in model.graph.initializer)
    code, _, _ = command("export", *asked, "-o", "case.json", "--format", "perfetto")
    assert code == 0
    drawn = [e for e in json.loads(Path("case.json").read_text())["traceEvents"] if e["ph"] == "X"]
    assert {"host", "added"} <= {event["cat"] for event in drawn}
    assert "it is a folder" in refused("export", *asked, "-o", tmp_path)


def test_a_check_of_several_files_answers_for_each(command, refused, tmp_path):
    import onnx_ir as ir
    from made import model_of

    paths = [tmp_path / name for name in ("one.onnx", "two.onnx")]
    for path, op in zip(paths, ("Relu 1x2x4x4", "Sin 1x2x4x4"), strict=True):
        ir.save(model_of(op), path)
    code, out, _ = command("check", *paths, "--target", "all")
    assert code in (0, 1)
    assert all(f"{path} runs as it is on " in out for path in paths)
    code, out, _ = command("check", *paths, "--format", "json")
    assert [one["model"] for one in json.loads(out)["checks"]] == list(map(str, paths))
    assert "give one" in refused("check", *paths, "--format", "netron")
    code, out, _ = command("check", paths[0], "--format", "netron", "--target", "aimotive")
    ((_, told),) = entries(out, "node").items()
    assert (told["aimotive"], told["parameters"]) == ("supported", 0)


@pytest.mark.slow
def test_what_init_writes_runs_as_written(command, refused, bash, tmp_path):
    """The study, the module in it, and the steps of the workflow for a pull request that changes nothing; but for the time."""
    assert command("init", tmp_path)[0] == 0
    assert "is there already" in refused("init", tmp_path)
    study, brief = tmp_path / "study.toml", {"processes": 1, "max_processes": 1, "repeat": 3, "crosscheck": 0}
    text = study.read_text().replace("[settings]\n", "[settings]\nmemory = false\n")
    for name, value in brief.items():
        text, times = re.subn(rf"^{name} = \d+", f"{name} = {value}", text, flags=re.MULTILINE)
        assert times == 1
    study.write_text(text)
    git = "git -c user.name=n -c user.email=e"
    assert bash(f"git init -q; git add -A; {git} commit -qm first", tmp_path)[0] == 0
    (job,) = yaml.safe_load((tmp_path / ".github/workflows/attention-cost.yml").read_text())["jobs"].values()
    for step in (step["run"] for step in job["steps"] if "run" in step):
        text = step.replace("${{ github.event.pull_request.base.sha }}", "HEAD")
        code, said = bash('pip() { [ "$1" = install ]; }\n' + text, tmp_path, GITHUB_STEP_SUMMARY=tmp_path / "summary.md")
        assert code in ((0, 3, 4) if "compare" in step else (0,)), said  # 4: a busy machine may leave a figure unresolved
    assert "at most 256 parameters" in (tmp_path / "summary.md").read_text()
    assert "confirmed" in (tmp_path / "results/head/report.md").read_text()
    assert (tmp_path / "junit.xml").exists()


def test_a_sweep_ends_with_what_it_found_what_to_beware_of_and_what_is_next(run):
    from attnbench.report import outcome

    crowded = replace(run.records[1].get("overhead"), metric="core_share", value=0.6, low=None, high=None)
    wide = replace(run.records[1].get("overhead"), note="budget ended after 3 replicates")
    records = (
        run.records[0],
        replace(run.records[1], measurements=run.records[1].measured((crowded, wide))),
        *run.records[2:],
    )
    told = replace(run, records=records)
    found, warned = " ".join(outcome.found(told)), " ".join(outcome.warnings(told))
    assert "resnetsan01 at 384x640 takes 100.0 ms; modules add 0.10 % (encoder.layer3=eca) to 3.0 %" in found
    assert "Claims: " in found
    assert "refuted" in found
    assert "1 interval wider than asked (0.05,5%): ±0.10 points for encoder.layer3=cbam_npu" in warned
    assert "1 case shared a core with other processes (encoder.layer3=cbam_npu had 60 % of it)" in warned
    assert outcome.next_command(told, "results/x") == "attnbench recommend results/x --target aimotive"


def test_one_figure_has_one_interval_wherever_it_stands(run):
    from attnbench.judge.rows import rows_of
    from attnbench.report import claims
    from attnbench.report.tables import cases_table

    (priority,) = claims.priorities(run).records()
    claimed = next(row for row in claims.claims(run).records() if row["claim"].endswith("% time"))
    cell = cases_table(rows_of(run)).records()[1]["overhead (%)"]
    assert priority["time overhead (%)"] == cell
    assert claimed["measured"] == f"{cell} % time"
    low, high = map(float, claimed["judged as"].split(" to "))
    assert low < 2.9
    assert high > 3.1, "what repetition does not show is said apart"


def test_a_node_that_the_variant_saves_is_drawn_otherwise(run):
    from attnbench.report.tables import explanation

    nodes = (NodeShare("a", "Mul", "s", "added", 0.002, 0.02), NodeShare("b", "Conv", "s", "removed", -0.001, -0.01))
    assert explanation(replace(run.records[1], nodes=nodes), bars=True).column("") == ["█" * 12, "·" * 6]
