"""The page of a run and its charts: what is drawn is what cases.csv holds, nothing of a name becomes markup, and it is small."""

import gzip
import json
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec import structs

pytest.importorskip("vl_convert", reason="charts need the extra html")

from conftest import BUNDLE

from attnbench.api import StoredRun, load_run
from attnbench.judge.compare import compare
from attnbench.judge.rows import rows_of
from attnbench.report import claims, comparison, pictures
from attnbench.report.charts import drawing
from attnbench.report.html import render

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "results" / "report"

HOSTILE = "\"'><img src=x onerror=alert(1)></script><script>alert(2)</script>\u202e\u2028{{7*7}}"
"""A name that breaks out of an attribute, an element and a script, reads from the right, and is a template."""


class Reader(HTMLParser):
    """The elements of a page with their attributes, and the texts of its scripts and cells."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.scripts, self.words, self.inside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside and self.inside[-1] == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page():
    """The page of the committed run, with the script that makes charts live; and read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "bundle", BUNDLE)
        text = render(load_run(REPORT).run)
    return text, Reader(text)


def hostile(run):
    """The run with a hostile name for each thing that may have one."""
    quoted = HOSTILE.replace("'", "")
    case = structs.replace(run.records[1].case, host=f"'{quoted}.onnx'", variant=f"'{quoted}'=eca")
    name, own = HOSTILE, run.records[1]
    nodes = tuple(replace(node, node=f"@{name}@0.{name}@/{name}", op=name) for node in own.nodes)
    findings = tuple(
        replace(one, node=f"@{name}@0.eca@/{name}", op=name, reason=name, inserted=True) for one in own.findings
    )
    own = replace(own, case=case, nodes=nodes, findings=findings, notes=(name,))
    base = replace(run.records[0], case=case.baseline)
    study, machine = {**run.header.study, "title": name}, {**run.header.machine, "cpu": name}
    header = replace(run.header, study=study, machine=machine, cases=(base.case, case))
    return replace(run, header=header, records=(base, own))


def test_the_page_holds_every_part_and_every_chart_without_a_script(page):
    text, read = page
    headings = [one["id"] for one in read.named("section")]
    assert headings == [
        "in-short", "where-it-costs", "how-sure-that-is", "where-the-time-goes", "what-to-take", "what-the-npu-says",
        "all-cases", "how-it-was-measured",
    ]  # fmt: skip
    charts = [one for one in read.named("div") if "plot" in (one.get("class") or "").split()]
    assert (
        len(charts)
        == len(json.loads(read.scripts[0]))
        == sum("marks" in (one.get("class") or "") for one in read.named("svg"))
    )
    assert len([row for row in read.named("tr") if row.get("id", "").startswith("case-")]) == 89
    assert "refuted" in text
    assert max(Counter(one["id"] for _, one in read.elements if one.get("id")).values()) == 1


def test_it_is_small_and_names_nothing_outside_itself(page):
    text, read = page
    assert len(text.encode()) < 1_500_000
    assert len(gzip.compress(text.encode())) < 400_000
    outside = [attributes for _, attributes in read.elements for key in ("src", "href", "xlink:href", "data", "action")
               if not attributes.get(key, "#").startswith(("#", "data:"))]  # fmt: skip
    assert outside == []


def test_every_number_that_is_drawn_is_the_one_of_cases_csv(page):
    _, read = page
    rows = {row.case.variant: row for row in rows_of(load_run(REPORT).run)}
    drawn, dots = Counter(), {}
    for spec in json.loads(read.scripts[0]).values():
        for datum in (datum for source in spec["data"] for datum in source.get("values", ())):
            variant = datum.get("variant") or f"{datum.get('place')}={datum.get('module')}"
            for name in ("overhead_pct", "overhead_pct_low", "overhead_pct_high"):
                if variant in rows and datum.get(name) is not None:
                    assert datum[name] == rows[variant].number(name)
                    drawn[name] += 1
            if "points_pct" in datum:
                drawn[variant] += datum["points_pct"]
            if "replicate_pct" in datum:
                dots.setdefault(variant, set()).add(datum["replicate_pct"])
    assert min(drawn[name] for name in ("overhead_pct", "overhead_pct_low", "overhead_pct_high")) > 100
    assert len(dots) > 80
    for variant, told in dots.items():
        assert told == {100 * sample for sample in rows[variant].record.get("overhead").samples}
    for row in rows.values():
        if row.case.variant in drawn:
            nodes = sum(100 * node.share for node in row.record.nodes)
            assert drawn[row.case.variant] == pytest.approx(nodes, abs=1e-9)


def test_hostile_names_stay_text(run):
    text = render(hostile(run))
    read = Reader(text)
    kinds = [one.get("type") for one in read.named("script")]
    assert kinds == ["application/json", "application/json", "text/plain", None]
    assert not read.named("img")
    assert HOSTILE in "".join(read.words)
    specs, details = map(json.loads, read.scripts[:2])
    assert any("onerror" in word for word in details["words"])
    assert "<" not in read.scripts[0] + read.scripts[1]
    assert specs


def test_a_claim_stands_once_however_many_targets_there_are(run):
    several = replace(run, header=replace(run.header, study={**run.header.study, "targets": ["aimotive", "ti-tidl-11.02"]}))
    once, twice = claims.claims(run), claims.claims(several)
    assert len(twice.rows) == len(once.rows) + sum("NPU" in row[once.columns.index("claim")] for row in once.rows)
    matrix = claims.priorities(several)
    assert len(matrix.rows) == len(claims.priorities(run).rows)
    assert all("aimotive: " in cell and "ti-tidl-11.02: " in cell for cell in matrix.column("NPU"))


def test_a_comparison_and_a_count_are_pages_too(run, command, store):
    slower = replace(run.records[1], measurements=tuple(
        replace(m, value=m.value * 3, low=m.low * 3, high=m.high * 3, samples=tuple(3 * s for s in m.samples))
        if m.metric == "overhead" else m for m in run.records[1].measurements))  # fmt: skip
    worse = replace(run, records=(run.records[0], slower, *run.records[2:]))
    found = compare(run, worse)
    read = Reader(comparison.answer(found).html())
    (spec,) = json.loads(read.scripts[0]).values()
    row = next(row for row in found.rows if row.family == "overhead" and row.case == slower.case)
    assert max(
        datum["change_points"] for source in spec["data"] for datum in source.get("values", ()) if "change_points" in datum
    ) == pytest.approx(100 * row.delta)
    folder = store(run)
    for asked in (("recommend", folder), ("track", folder.parent), ("report", folder)):
        code, out, err = command(*asked, "--format", "html")
        assert (code, err, out[:15]) == (0, "", "<!doctype html>"), asked


@pytest.mark.parametrize(("kind", "end", "start"), [
    ("heatmap", "svg", b"<svg"), ("overhead", "pdf", b"%PDF"), ("decomposition", "png", b"\x89PNG"), ("pareto", "svg", b"<svg"),
    ("npu", "svg", b"<svg")])  # fmt: skip
def test_a_picture_alone(command, tmp_path, kind, end, start):
    file = tmp_path / f"picture.{end}"
    assert command("plot", REPORT, kind, "-o", file)[0] == 0
    assert file.read_bytes().startswith(start)


def test_pictures_that_cannot_be_drawn_say_why(refused, tmp_path, run, store):
    assert "name ends in .svg, .png, .pdf" in refused("plot", REPORT, "npu", "-o", tmp_path / "x.gif")
    assert "host of this run 'resnet'" in refused("plot", REPORT, "npu", "-o", tmp_path / "x.svg", "--host", "resnet")
    assert "no case to draw at these places" in refused(
        "plot", REPORT, "heatmap", "-o", tmp_path / "x.svg", "--place", "no*"
    )
    other = replace(
        run, records=(*run.records, replace(run.records[0], case=structs.replace(run.records[0].case, size="64x64")))
    )
    two = store(replace(other, header=replace(run.header, cases=tuple(one.case for one in other.records))))
    assert "choose one by --host and --size" in refused("plot", two, "npu", "-o", tmp_path / "x.svg")
    assert "cannot write" in refused("plot", REPORT, "npu", "-o", tmp_path / "no" / "x.svg")


def test_a_sweep_writes_a_page_and_without_the_extra_the_rest(monkeypatch, refused, run, tmp_path):
    from attnbench.cli import answer

    monkeypatch.setattr(answer, "WRITTEN", ("md", "csv", "html"))
    answer.write_reports(run, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "cases.csv", "report.html"}
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    (lacking := tmp_path / "lacking").mkdir()
    answer.write_reports(run, lacking)
    assert {path.name for path in lacking.iterdir()} == {"report.md", "cases.csv"}
    assert "pip install 'attnbench[html]'" in refused("report", REPORT, "--format", "html")
    assert StoredRun(run, tmp_path)._repr_html_() is None


def test_a_notebook_shows_a_run_without_a_script(run):
    shown = StoredRun(run, Path())._repr_html_()
    assert "<svg" in shown
    assert "<script" not in shown
    assert "A made run" in shown


def test_the_readmes_picture_is_that_of_the_committed_run():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (line,) = [line for line in text.splitlines() if "attnbench plot results/report heatmap" in line]
    words = shlex.split(line)
    asked = {key: [words[at + 1] for at, word in enumerate(words) if word == f"--{key}"] for key in ("place", "module")}
    drawn = pictures.picture(load_run(REPORT).run, "heatmap", **asked).svg()
    there = (ROOT / "docs" / "overhead.svg").read_text()
    assert sorted(Reader(drawn).words) == sorted(Reader(there).words)


BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser():
    """A browser without a screen whose every connection would fail."""
    if not (BROWSER and DRIVER):
        pytest.skip("there is no Chromium with its chromedriver here: the page is not opened")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--proxy-server=127.0.0.1:9",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def test_in_a_browser_it_sorts_filters_opens_cases_and_comes_alive(browser, page, tmp_path):
    from selenium.webdriver.support.ui import WebDriverWait

    file = tmp_path / "report.html"
    file.write_text(page[0])
    browser.get(file.as_uri())
    wait, run = WebDriverWait(browser, 20), browser.execute_script
    run("document.querySelector('#chart-0').scrollIntoView()")
    wait.until(lambda _: run("return document.querySelector('#chart-0').dataset.live") == "yes")
    every = "[...document.querySelectorAll('#all-cases .listing')].find(one => one.querySelector('.tools'))"
    run(f"const box = {every}.querySelector('input'); box.value = 'layer3 cbam'; box.dispatchEvent(new Event('input'))")
    shown = run(f"return [...{every}.querySelectorAll('tbody tr')].filter(row => !row.hidden).map(row => row.textContent)")
    assert 0 < len(shown) < 20
    assert all("layer3" in text and "cbam" in text for text in shown)
    run(f"{every}.querySelector('input').value = ''; {every}.querySelector('input').dispatchEvent(new Event('input'))")
    run(f"{every}.scrollIntoView()")
    wait.until(lambda _: run(f"return {every}.querySelectorAll('th button').length"))
    run(f"[...{every}.querySelectorAll('th button')].find(one => one.textContent === 'overhead (%)').click()")
    texts = run(f"return [...{every}.querySelectorAll('tbody tr')].map(row => row.cells[2].textContent)")
    numbers = [float(text.split("[")[0].replace(",", "").replace("−", "-")) for text in texts if text[0].isdigit()]
    assert numbers == sorted(numbers)
    assert len(numbers) > 50
    run("document.querySelector('#chart-0 .mark-rect path').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert run("return document.querySelector('dialog').open")
    assert "What the overhead is made of" in run("return document.querySelector('dialog').textContent")
    browser.set_window_size(390, 800)
    assert run("return document.documentElement.scrollWidth <= window.innerWidth")
    assert [one for one in browser.get_log("browser") if one["level"] in ("SEVERE", "WARNING")] == []
    assert run("return performance.getEntriesByType('resource').length") == 0
