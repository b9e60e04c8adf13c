"""What the README, `docs/` and CONTRIBUTING say is true when pasted."""

import ast
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from conftest import keep_exports, minutes_of

from attnbench import load_run
from attnbench.cli import resolving
from attnbench.core.records import Case
from attnbench.study.plan import plan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}


def blocks(language: str) -> list[str]:
    """The fenced blocks of all pages; one that two pages show comes once."""
    found = [block for text in PAGES.values() for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]
    return list(dict.fromkeys(found))


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line.startswith(("attnbench ", "python "))]


SHOWN = list({shlex.join(command): command for block in blocks("sh") for command in commands(block)}.values())
"""Every command of every page, once."""


def shown(*names: str) -> list[list[str]]:
    found = [command for command in SHOWN if command[1] in names]
    assert {command[1] for command in found} == set(names)
    return found


BRIEF = ["--processes", "1", "--max-processes", "1", "--rounds", "0", "--repeat", "3", "--no-memory"]
"""What makes a sweep that is shown a short one."""


@pytest.fixture
def paste(command, monkeypatch, capsys):
    """Runs a command line as it is pasted in a folder: exit code, standard output and standard error."""

    def pasted(words: list[str], folder: Path) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(folder)
        if words[0] == "attnbench":
            return command(*words[1:], *(BRIEF if words[1] == "sweep" else ()))
        runpy.run_path(words[1], run_name="__main__")
        return 0, *capsys.readouterr()

    return pasted


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with every file that the pages show."""
    folder = tmp_path_factory.mktemp("readme")
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name, block
        (folder / name[1]).write_text(block)
    return folder


OWN = [block for block in blocks("sh") if "results/own-" in block]


@pytest.mark.parametrize("block", OWN, ids=["module", "host", "onnx"])
def test_each_worked_example_runs(paste, workplace, block):
    for command in commands(block):
        code, _, error = paste(command, workplace)
        assert code == 0, error
        if "--out" in command:
            out = workplace / command[command.index("--out") + 1]
            assert {"report.md", "cases.csv", "run.jsonl"} <= {path.name for path in out.iterdir()}
            assert "failed" not in (out / "cases.csv").read_text()


def test_the_counting_examples_run(paste, workplace):
    for command in (command for command in shown("count") if command[2] != "literature"):
        code, _, error = paste(command, workplace)
        assert code == 0, error


def test_the_checking_examples_run_on_a_model_of_ones_own(paste, workplace):
    """On the ONNX file of the other example, at its own size."""
    paste(["python", "export_net.py"], workplace)
    for command in (
        *shown("check", "rewrite"),
        ["attnbench", "list", "targets", "--ops", "--target", "nvidia-orin-dla-trt10"],
    ):
        own = ["my_net.onnx" if word == "model.onnx" else "64x96" if word == "384x640" else word for word in command]
        code, _, error = paste(own, workplace)
        assert (code in (0, 1), error) == (True, "")


def test_numbers_of_things_are_those_of_the_registries():
    from attnbench.modules import module_names
    from attnbench.targets import target_names

    assert f"({len(module_names())} of them" in README
    words = {20: "Twenty"}
    for page in ("README.md", "docs/targets.md"):
        assert f"{words[len(target_names())]} targets come with it" in PAGES[page]


def test_the_entry_example_is_one(workplace):
    from attnbench.modules import Plane

    (entry,) = runpy.run_path(str(workplace / "entry.py"))["ENTRIES"]
    plane = Plane(8, 4, 4)
    assert sum(p.numel() for p in entry.build(8).parameters()) == entry.params(plane)


def test_the_watching_commands_run_on_two_runs(paste, tmp_path):
    text = (ROOT / "tests" / "data" / "run-2026-11-21-first.jsonl").read_text()
    header, rest = text.split("\n", 1)
    started = {"first": json.loads(header)["started"], "second": "2026-12-01T00:00:00+00:00"}
    for name, moment in started.items():
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        (folder / "run.jsonl").write_text(json.dumps(json.loads(header) | {"started": moment}) + "\n" + rest)
    for command in shown("baseline", "compare", "track", "report", "explain", "recommend"):
        code, _, error = paste(command, tmp_path)
        assert code == 0, error
    assert json.loads((tmp_path / "bench.json").read_text())
    assert (tmp_path / "junit.xml").exists()


@pytest.mark.slow
def test_the_workflow_runs_as_written_for_a_pull_request(bash, tmp_path, monkeypatch):
    """All its steps in order, in a clone; the study is smaller, and nothing is installed."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a clone has the commits that a pull request is compared with")
    clone, study, summary = tmp_path / "clone", tmp_path / "small.toml", tmp_path / "summary.md"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    study.write_text(
        'name = "small"\nsizes = ["64x96"]\n[settings]\nprocesses = 1\nmax_processes = 1\nwarmup = 1\nrepeat = 3\n'
        'crosscheck = 0\nmemory = false\n[[matrix]]\nmodules = ["eca"]\nplaces = ["encoder.layer3"]\n'
    )
    monkeypatch.setattr(resolving, "MOST_MORE", 2)  # replicates, for what a busy machine does not resolve
    installs = 'pip() { test "$1" = install && test -f "$2/pyproject.toml"; }\n'
    (job,) = yaml.safe_load(blocks("yaml")[0])["jobs"].values()
    for step in (step["run"] for step in job["steps"] if "run" in step):
        text = step.replace("${{ github.event.pull_request.base.sha }}", "HEAD").replace("sweep quick", f"sweep {study}")
        code, said = bash(installs + text, clone, GITHUB_STEP_SUMMARY=summary)
        compared = "attnbench compare" in text  # among all these tests, so small a case may come out as anything
        assert code in ((0, 3, 4) if compared else (0,)), said
        assert not compared or "overhead" in said
    (read,) = (step["with"]["output-file-path"] for step in job["steps"] if "output-file-path" in step.get("with", {}))
    assert json.loads((clone / read).read_text())
    assert "encoder.layer3" in summary.read_text()
    assert (clone / "junit.xml").exists()


def test_the_notebook_example_runs(workplace):
    text = (workplace / "notebook.py").read_text()
    assert "quick=True" in text
    (asked,) = re.findall(r"run_study\(\s*(\{.*\}),", text)
    keep_exports(plan(ast.literal_eval(asked)))
    (workplace / "brief.py").write_text(
        text.replace("quick=True", "quick=True, processes=1, max_processes=1, rounds=0, crosscheck=0, memory=False")
    )
    done = subprocess.run([sys.executable, "brief.py"], cwd=workplace, env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a script without a guard for its main part is not run again by a child"
    assert "None" not in done.stdout
    assert "encoder.layer3=eca" in done.stdout


def test_the_distilling_example_runs(workplace, capsys):
    runpy.run_path(str(workplace / "distil.py"))
    assert "nan" not in capsys.readouterr().out


def test_every_sweep_names_modules_places_and_sizes_that_exist():
    from attnbench.study.flags import from_flags, host_from_flags

    for command in shown("sweep"):
        taken = {
            flag: [b for a, b in pairwise(command) if a == flag]
            for flag in ("--host", "--module", "--place", "--variant", "--size")
        }
        if not any(".py" in word or ".onnx" in word for word in command):  # those of the worked examples are run
            hosts = [host_from_flags(spec, [], 3) for spec in taken.pop("--host")]
            taken["--module"] += [b for a, b in pairwise(command) if a == "--tap"]
            plan(from_flags(None, hosts, *taken.values(), [], None))


def test_every_command_has_the_options_that_it_is_given():
    from typer.main import get_command

    from attnbench.cli.app import app

    for command in SHOWN:
        if command[0] == "attnbench":
            found, words = get_command(app), command[1:]
            while hasattr(found, "commands"):
                found, words = found.commands[words[0]], words[1:]
            found.make_context(command[1], words).close()


def test_the_study_and_the_target_that_are_shown_are_ones(tmp_path):
    from attnbench.npu.targets import load_target
    from attnbench.study.claims import read_claims
    from attnbench.study.file import read_study

    path = tmp_path / "shown.toml"
    kinds = {"study": "[[matrix]]", "target": "[target]", "claims": "[documents]"}
    found = {kind: block for block in blocks("toml") for kind, mark in kinds.items() if mark in block}
    path.write_text(found["study"])
    assert len(plan(read_study(path)).cases) == 2 * 3 + 1
    path.write_text(found["target"])
    assert [rule.ops for rule in load_target(str(path)).rules] == [("Conv",), ("GlobalAveragePool",)]
    path.write_text(found["claims"])
    assert len(read_claims(path).claim[0].reading) == 4


def test_the_settings_that_are_shown_are_all_with_their_defaults_and_the_claims_are_all():
    from msgspec.structs import asdict

    from attnbench.core.columns import CLAIMABLE
    from attnbench.core.protocol import Effort, Protocol

    rows = re.findall(r"^\| `(\w+)` +\| `?([^|`]+?)`? +\| (protocol|effort) ", PAGES["docs/studies.md"], re.MULTILINE)
    for part, kind in (("protocol", Protocol), ("effort", Effort)):
        shown_ones = {name: json.loads(default) for name, default, of in rows if of == part}
        assert shown_ones == json.loads(json.dumps(asdict(kind())))
    (claimed,) = re.findall(r"^\| `metric` +\| a column of `cases.csv`: (.+?) +\|$", PAGES["docs/studies.md"], re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", claimed)) == set(CLAIMABLE)


STUDIES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.toml") if path.stem != "claims")


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_that_comes_with_it_plans(name):
    from attnbench.study.file import find_study, read_study

    assert plan(read_study(find_study(name))).name == name


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_path_of_a_page_leads_somewhere(page):
    """Links to files and their headings, paths in backticks, and the files of the list that follows a case."""
    folder = (ROOT / page).parent
    for path, mark in re.findall(r"\]\(([^)#:]+)(?:#([\w-]+))?\)", PAGES[page]):
        assert (folder / path).exists(), path
        headings = re.findall(r"^#+ (.+)$", (folder / path).read_text(), re.MULTILINE) if mark else []
        assert not mark or mark in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for path in re.findall(r"`((?:attnbench|benchmarks|results|tests|docs)/[\w./-]+)`", PAGES[page]):
        assert (ROOT / path).exists() or path.startswith("results/base") or "/x." in path, path
    for path in re.findall(r"(?<![\w/.])([a-z]+/[a-z_]+\.py)(?![\w:])", PAGES[page]):
        if not path.startswith("path/") and not path.endswith("/x.py"):
            assert (ROOT / "attnbench" / path).exists() or (ROOT / path).exists(), path


def test_the_readme_is_one_page_with_a_picture():
    assert len(README.splitlines()) <= 150
    assert "](docs/overhead.svg)" in README


def test_the_workflow_of_this_project_and_its_hooks_call_what_ci_runs():
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["ci"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    ran = (ROOT / ".ci" / "run").read_text()
    for hook in local["hooks"]:
        assert hook["entry"].removesuffix(" --force-exclude") in ran


def test_the_test_command_is_the_one_ci_runs():
    command = next(block for block in blocks("sh") if "pytest" in block).strip()
    assert command in (ROOT / ".ci" / "run").read_text()


def test_the_study_took_as_long_as_it_is_said_to_have():
    stated = re.search(
        r"(\d+) cases in (\d+) minutes .*? took (\d+) minutes on the faster", " ".join(README.split())
    ).groups()
    now, before = (ROOT / "results" / name / "run.jsonl" for name in ("report", "report-avx512"))
    minutes = minutes_of(now)
    earlier = sum(record.seconds["total"] for record in load_run(before.parent).records) / 60
    assert stated == (str(len(load_run(now.parent).records)), f"{minutes:.0f}", f"{earlier:.0f}")


def test_the_runtimes_side_by_side_are_the_committed_runs():
    figures = {record.case: record.value("overhead") for record in load_run(ROOT / "results" / "runtimes").records}

    def shown(variant):
        where = ({}, {"runtime": "openvino"}, {"dtype": "int8"})
        return [f"{100 * figures[Case('resnetsan01', variant, '384x640', **one)]:.2f}" for one in where]

    said = " ".join(README.split())
    se = re.search(r"adds ([\d.]+) % in ONNX Runtime, ([\d.]+) % in OpenVINO and ([\d.]+) % in int8", said)
    axial = re.search(r"`decoder.upconv2` ([\d.]+), ([\d.]+) and ([\d.]+) %", said)
    assert list(se.groups()) == shown("encoder.layer1=se_npu")
    assert list(axial.groups()) == shown("decoder.upconv2=axial_conv")


def test_the_matrix_is_the_committed_runs():
    from attnbench.report.claims import priorities

    assert priorities(load_run(ROOT / "results" / "report").run).markdown() in README
