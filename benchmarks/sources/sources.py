"""Published figures held against the files that print them: ``python benchmarks/sources/sources.py FOLDER``.

FOLDER has the repositories that ``sources.toml`` names, by their names without the owner: clones, bare or not, or
what a wheel unpacks to. Nothing is fetched. A figure of ``benchmarks/literature.toml`` or of
``attnbench/accuracy/published.toml`` is equal where the file prints that value, in that unit, at that image size where it
prints one, and a count to as many digits. ``results/sources.md`` says what came of it; the exit code is 1 where a figure
differs or is not found.
"""

import ast
import csv
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LITERATURE, PUBLISHED = ROOT / "benchmarks" / "literature.toml", ROOT / "attnbench" / "accuracy" / "published.toml"
SOURCES, PAGE = Path(__file__).with_suffix(".toml"), ROOT / "results" / "sources.md"
SCALE = {"": 0, "1": 0, "%": 0, "M": 6, "Mi": 6, "G": 9, "Gi": 9}
"""Powers of ten, as written: a file that divides by 1024 writes M, too."""
ABOUT = """# Published figures, compared with the files that print them

`python benchmarks/sources/sources.py FOLDER`, with clones in FOLDER. A figure is equal where its value, its unit and, where
the file prints it, its image size are, and where a count has as many digits: claims on counts are held to their printed
digits.
"""
Table = list[list[str]]


class Quoted(NamedTuple):
    """A figure as we quote it; ``keys`` may name its row in ``sources.toml``, ``height`` is that of the image."""

    source: str
    keys: tuple[str, ...]
    metric: str
    value: Decimal
    height: str


def quoted() -> Iterator[Quoted]:
    """Every figure of both files."""
    for case in tomllib.loads(LITERATURE.read_text())["case"]:
        key = f"{case['host']} {case['variant']}".removesuffix(" baseline")
        for claim in case["claim"]:
            value = Decimal(claim["value"]).scaleb(SCALE[claim["unit"]])
            yield Quoted(claim["source"], (key,), claim["metric"], value, case["sizes"][0].split("x")[0])
    for table in tomllib.loads(PUBLISHED.read_text(), parse_float=Decimal)["table"]:
        recipe, height = table["recipe"].split(";")[0], re.search(r"(\d+)x", table["recipe"])
        for module, value in [("", table["baseline"]), *((row["module"], row["top1"]) for row in table["row"])]:
            key = f"{table['network']} {module}".strip()
            yield Quoted(table["source"], (f"{recipe} {key}", key), "top1", value, height[1] if height else "")


class Repository(NamedTuple):
    """A repository on this machine, at a revision; without git, a folder of files."""

    folder: Path
    at: str | None

    @classmethod
    def find(cls, folder: Path, repository: str, at: str) -> "Repository | None":
        """It, if FOLDER has it."""
        place = folder / repository.split("/")[1]
        if (place / "HEAD").is_file() or (place / ".git").exists():
            return cls(place, at)
        return cls(place, None) if any(place.glob("*.dist-info")) else None

    def git(self, *arguments: str) -> str:
        """What git says."""
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def state(self) -> str:
        """The commit, or the wheel's name and version."""
        if self.at:
            return self.git("rev-parse", "--short=8", f"{self.at}^{{commit}}").strip()
        return next(self.folder.glob("*.dist-info")).stem.replace("-", " ")

    def text(self, file: str) -> str:
        """A file; a wheel has the README in its metadata."""
        if self.at:
            return self.git("show", f"{self.at}:{file}")
        path = self.folder / file
        return (path if path.exists() else next(self.folder.glob("*.dist-info/METADATA"))).read_text()


def tables(file: str, text: str) -> Iterator[Table]:
    """The tables of a file, as text: of csv, of Markdown and HTML, of torchvision's weights."""
    if file.endswith(".csv"):
        yield list(csv.reader(text.splitlines()))
    elif file.endswith(".py"):
        yield list(weights(text))
    else:
        lines = re.sub(r"<tr.*?</tr>", piped, text, flags=re.DOTALL).splitlines()
        for inside, block in groupby(map(str.strip, lines), key=lambda line: line.startswith("|")):
            if inside:
                yield [[bare(cell) for cell in line[1:].removesuffix("|").split("|")] for line in block]


def piped(row: re.Match[str]) -> str:
    """A row of HTML as one of Markdown."""
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[0], flags=re.DOTALL)
    return f"|{'|'.join(' '.join(cell.split()) for cell in cells)}|"


def weights(text: str) -> Iterator[list[str]]:
    """A row for each member of each enumeration of weights: the plain values of its metadata."""
    body = ast.parse(text).body
    shared = {ast.unparse(one.targets[0]): one.value for one in body if isinstance(one, ast.Assign)}
    yield ["weights", "num_params", "_ops"]
    for kind in (one for one in body if isinstance(one, ast.ClassDef) and one.name.endswith("_Weights")):
        for member in (one for one in kind.body if isinstance(one, ast.Assign) and isinstance(one.value, ast.Call)):
            meta = next(one.value for one in member.value.keywords if one.arg == "meta")  # type: ignore[attr-defined]
            parts = [shared[ast.unparse(value)] for key, value in zip(meta.keys, meta.values, strict=True) if key is None]
            pairs = [pair for part in (*parts, meta) for pair in zip(part.keys, part.values, strict=True) if pair[0]]
            found = {ast.literal_eval(key): ast.unparse(value) for key, value in pairs}
            yield [f"{kind.name}.{ast.unparse(member.targets[0])}", found.get("num_params", ""), found["_ops"]]


def bare(cell: str) -> str:
    """A cell's words, without links, emphasis and tags."""
    cell = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"<[^>]*>", "", cell))
    return cell.replace("**", "").strip(" `\r")


def printed(source: dict[str, Any], found: list[Table], figure: Quoted, label: str) -> Decimal | None:
    """What the source prints: of the first table that has the row and the column, at the figure's image size."""
    column, unit, *digits = source["columns"][figure.metric]
    sized = source["columns"].get("size", [None])[0]
    for table in found:
        head = next((row for row in table if column in row), None)
        for row in table if head else ():
            if row[0] == label and (sized is None or row[head.index(sized)] == figure.height):
                number, letter = re.match(r"([\d,.]+)\s*([MG]?)", row[head.index(column)]).groups()  # type: ignore[union-attr]
                value = Decimal(number.replace(",", ""))
                if digits:
                    value = value.quantize(Decimal(1).scaleb(-digits[0]))
                return 100 - value if unit == "error" else value.scaleb(SCALE[letter or unit])
    return None


def compare(source: dict[str, Any], figures: list[Quoted], files: Repository) -> Iterator[tuple[str, str]]:
    """Of each figure the verdict, and what differs in words."""
    if "read" in source:
        same = files.git("rev-parse", f"{files.at}:{source['file'][0]}").strip() == source["read"]
        yield from [("equal", "") if same else ("not found", f"{source['cited']}: another picture")] * len(figures)
        return
    found = [table for file in source["file"] for table in tables(file, files.text(file))]
    if source.get("turned"):
        found = [[list(row) for row in zip(*table, strict=False)] for table in found]
    for figure in figures:
        label = next((source["rows"][key] for key in figure.keys if key in source["rows"]), figure.keys[0])
        value = printed(source, found, figure, label)
        told = f"{source['cited']}, {figure.keys[0]}, {figure.metric}: quoted {figure.value}"
        if value is None:
            yield "not found", f"{told}; no row `{label}` with it"
        elif value != figure.value or (figure.metric != "top1" and not value.same_quantum(figure.value)):
            yield "differs", f"{told}, printed {value} (`{label}`)"
        else:
            yield "equal", ""


def plural(some: list[Quoted]) -> str:
    """How many figures."""
    return f"{len(some)} figure{'s' * (len(some) != 1)}"


def main(folder: Path) -> int:
    """Compare what FOLDER has, and write the page."""
    sources = tomllib.loads(SOURCES.read_text())["source"]
    figures, total = list(quoted()), Counter[str]()
    lines, told, left = [], [], []
    for source in sources:
        own = [one for one in figures if one.source == source["cited"]]
        if "why" in source:
            left += [f"{source['cited']}, {plural(own)}: {source['why']}"]
            continue
        files = Repository.find(folder, source["repository"], source.get("at", "HEAD"))
        if files is None:
            left += [f"{source['cited']}, {plural(own)}: no `{source['repository']}` in the folder"]
            continue
        came = list(compare(source, own, files))
        count = Counter(verdict for verdict, _ in came)
        total += count
        told += [words for _, words in came if words]
        where = f"{source['repository']} {', '.join(f'`{file}`' for file in source['file'])}"
        counts = [len(own), *(count[verdict] for verdict in ("equal", "differs", "not found"))]
        lines.append(f"| {' | '.join([where, files.state(), *map(str, counts), source['counts']])} |")
    known = {source["cited"] for source in sources}
    left += [f"{one.source}: {one.keys[0]}, {one.metric} {one.value}" for one in figures if one.source not in known]
    head = ["file", "commit or version", "figures", "equal", "differ", "not found", "what is counted there"]
    table = [f"| {' | '.join(head)} |", "|:--|:--|--:|--:|--:|--:|:--|", *lines]
    said = f"{total['equal']} are equal, {total['differs']} differ, {total['not found']} are not found"
    summary = f"Of {len(figures)} figures {said}."
    parts = [ABOUT, summary, "\n".join(table)]
    for title, some in (("Not equal", told), ("Not compared", left)):
        if some:
            parts += [f"## {title}", "\n".join(f"* {one}" for one in some)]
    PAGE.write_text("\n\n".join(part.strip() for part in parts) + "\n")
    print(summary)
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
