"""``benchmarks/sources/sources.py``: quoted figures against the files that print them, and one source's rule against our hosts."""

import subprocess
import sys
import tomllib
from collections import Counter
from math import prod
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attnbench.core.grammar import parse_spec
from attnbench.hosts import HOSTS, host_options

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "sources"))
import sources

ROWS = tomllib.loads(sources.SOURCES.read_text())["source"]
FILES = {
    "a.csv": "model,size,count,gmacs\none,224,1.5,0.4\none,256,1.5,0.52\n",
    "b.md": "text | no table\n\n| Model | #P | Top-1 |\n|:-:|:-:|:-:|\n|[**One**](https://x)|1,500,000|**23.5**|\n",
    "c.md": '<table>\n<tr align="center">\n  <td> </td>\n  <td>Top1</td>\n</tr>\n<tr align="center">\n  <td>One</td>\n'
    "  <td><b>76.5</b></td>\n</tr>\n</table>\n",
    "d.md": "| |One|Two|\n|:-|:-|:-|\n|weights|1,500|1,510(+0.7%)|\n",
    "e.py": 'SHARED = {"num_params": 1500, **{}}\nclass One_Weights(Enum):\n    V1 = Weights(url="u", meta={**SHARED, "_ops": 4.5})\n'
    "    DEFAULT = V1\n",
}


@pytest.fixture
def folder(tmp_path):
    """A repository that prints figures in each form."""
    repository = tmp_path / "what"
    for name, text in FILES.items():
        repository.mkdir(exist_ok=True)
        (repository / name).write_text(text)
    who = ("-c", "user.name=w", "-c", "user.email=w@w")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "figures")):
        subprocess.run(["git", "-C", repository, *command], check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "columns", "label", "figure", "verdict"),
    [
        ("a.csv", {"macs": ["gmacs", "G", 2], "size": ["size", ""]}, "one", ("macs", "4.0E+8", "224"), "equal"),
        ("a.csv", {"macs": ["gmacs", "G", 2], "size": ["size", ""]}, "one", ("macs", "4E+8", "224"), "differs"),
        ("a.csv", {"macs": ["gmacs", "G", 2], "size": ["size", ""]}, "one", ("macs", "5.2E+8", "224"), "differs"),
        ("a.csv", {"macs": ["gmacs", "G", 2], "size": ["size", ""]}, "one", ("macs", "5.2E+8", "256"), "equal"),
        ("a.csv", {"macs": ["gmacs", "G", 2], "size": ["size", ""]}, "one", ("macs", "5.2E+8", "288"), "not found"),
        ("b.md", {"params": ["#P", "1"]}, "One", ("params", "1500000", "224"), "equal"),
        ("b.md", {"params": ["#P", "1"]}, "One", ("params", "1500001", "224"), "differs"),
        ("b.md", {"params": ["#P", "1"]}, "Two", ("params", "1500000", "224"), "not found"),
        ("b.md", {"top1": ["Top-1", "error"]}, "One", ("top1", "76.50", ""), "equal"),
        ("c.md", {"top1": ["Top1", "%"]}, "One", ("top1", "76.5", ""), "equal"),
        ("e.py", {"params": ["num_params", "1"]}, "One_Weights.V1", ("params", "1500", "224"), "equal"),
        ("e.py", {"macs": ["_ops", "G", 3]}, "One_Weights.V1", ("macs", "4.500E+9", "224"), "equal"),
    ],
)
def test_a_figure_is_found_in_each_form(folder, file, columns, label, figure, verdict):
    metric, value, height = figure
    quoted = sources.Quoted("s", ("host",), metric, sources.Decimal(value), height)
    source = {"cited": "s", "file": [file], "columns": columns, "rows": {"host": label}}
    files = sources.Repository.find(folder, "who/what", "HEAD")
    assert [found for found, _ in sources.compare(source, [quoted], files)] == [verdict]


def test_models_may_be_the_columns_and_a_picture_is_the_one_that_was_read(folder):
    files = sources.Repository.find(folder, "who/what", "HEAD")
    quoted = sources.Quoted("s", ("host",), "params", sources.Decimal(1510), "32")
    turned = {
        "cited": "s",
        "file": ["d.md"],
        "columns": {"params": ["weights", "1"]},
        "rows": {"host": "Two"},
        "turned": True,
    }
    assert list(sources.compare(turned, [quoted], files)) == [("equal", "")]
    picture = {"cited": "s", "file": ["d.md"], "read": files.git("rev-parse", "HEAD:d.md").strip()}
    assert list(sources.compare(picture, [quoted], files)) == [("equal", "")]
    assert next(sources.compare({**picture, "read": "0" * 40}, [quoted], files))[0] == "not found"


def test_an_unpacked_wheel_has_its_version_and_its_readme(tmp_path):
    (tmp_path / "what" / "what-1.2.dist-info").mkdir(parents=True)
    (tmp_path / "what" / "what-1.2.dist-info" / "METADATA").write_text(FILES["b.md"])
    files = sources.Repository.find(tmp_path, "who/what", "v1.2")
    assert files.state() == "what 1.2"
    assert next(sources.tables("README.md", files.text("README.md")))[2][0] == "One"


def test_a_folder_without_clones_compares_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sources, "PAGE", tmp_path / "page.md")
    assert sources.main(tmp_path) == 0
    figures = len(list(sources.quoted()))
    assert capsys.readouterr().out == f"Of {figures} figures 0 are equal, 0 differ, 0 are not found.\n"
    assert "no `BangguWu/ECANet` in the folder" in (tmp_path / "page.md").read_text()


def test_every_quoted_figure_has_its_row_and_every_row_is_quoted():
    by_name, used = {source["cited"]: source for source in ROWS}, Counter()
    for figure in sources.quoted():
        source = by_name[figure.source]
        rows = [key for key in figure.keys if key in source.get("rows", {})]
        assert rows or "why" in source or "read" in source, figure
        used.update((figure.source, key) for key in rows[:1])
    assert {(source["cited"], key) for source in ROWS for key in source.get("rows", {})} == set(used)


def test_the_committed_page_is_of_these_figures():
    figures = len(list(sources.quoted()))
    left = sum(source.source == "timm resnest50d, by its own count" for source in sources.quoted())
    summary = f"Of {figures} figures {figures - left} are equal, 0 differ, 0 are not found."
    assert summary in (sources.ROOT / "results" / "sources.md").read_text()


class Flops(TorchDispatchMode):
    """What imgclsmob's ``gluon/model_stats.py`` adds up: where there is no bias, one addition less."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        op = func.name().removeprefix("aten::").split(".")[0]
        if op == "convolution":
            weight, bias = args[1:3]
            products = weight.numel() * prod(out.shape[2:])
            self.total += 2 * products - (0 if bias is not None else prod(weight.shape[:2]))
        elif op == "addmm":
            self.total += 2 * args[2].numel()
        elif op.endswith("batch_norm"):
            self.total += 4 * args[0].numel()
        elif op in ("relu", "relu_"):
            self.total += out.numel()
        elif op == "max_pool2d_with_indices":
            self.total += out[0].numel() * prod(args[1])
        elif op in ("mean", "_adaptive_avg_pool2d", "avg_pool2d"):
            self.total += args[0].numel()
        return out


ALONE = [
    figure
    for figure in sources.quoted()
    if (figure.source, figure.metric, " " in figure.keys[0]) == ("imgclsmob gluon/README.md", "macs", False)
]


@pytest.mark.parametrize("figure", ALONE, ids=[figure.keys[0] for figure in ALONE])
def test_hosts_have_every_norm_activation_and_pooling_that_imgclsmob_counts(figure):
    spec = parse_spec(figure.keys[0])
    with torch.device("meta"), torch.no_grad(), Flops() as counted:
        host = HOSTS.load(spec.name).build(**host_options(spec)).eval()
        counted.total = 0
        host(torch.zeros(1, 3, int(figure.height), int(figure.height)))
    assert f"{counted.total / 2e6:.2f}" == f"{figure.value.scaleb(-6):.2f}"
