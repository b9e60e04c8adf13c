"""The command that shows where a network looks: ``maps``. It runs the network on images, and no clock."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attnbench.cli.answer import show_table
from attnbench.cli.app import app, example
from attnbench.cli.options import ChannelsOption, OneSizeOption, SiteOption
from attnbench.core.errors import InputError, UnknownName
from attnbench.core.files import write_whole
from attnbench.core.grammar import quote, split, unquote
from attnbench.core.naming import slug
from attnbench.core.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from attnbench.maps.network import TappedNetwork
    from attnbench.report.maps import ComparedMaps, PartOfMaps
    from attnbench.study.file import StudyHost


@app.command(
    short_help="Draw where networks look, over images.",
    epilog=example(
        "attnbench maps resnet50 --image photo.jpg --place stage-ends -o maps",
        "attnbench maps model.onnx --image photo.jpg --normalize imagenet",
        "attnbench maps teacher.onnx student.onnx --images photos --pair relu_12=relu_7",
    ),
)
def maps(
    model: Annotated[str, typer.Argument(help="A host: a name, FILE.py:FACTORY or MODEL.onnx; or the teacher.")],
    student: Annotated[
        str | None, typer.Argument(help="A second host, whose maps are compared.", show_default="none")
    ] = None,
    image: Annotated[list[Path] | None, typer.Option(help="An image file.", show_default="none")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of image files.", show_default="none")] = None,
    place: Annotated[
        list[str] | None, typer.Option(help="Place: a site, placement, glob, or each.", show_default="each")
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="Places to compare: TEACHER'S=STUDENT'S.", show_default="those of one name")
    ] = None,
    tap: Annotated[str, typer.Option(help="What makes the maps: at[p=1], at[reduce=max]...")] = "at",
    size: OneSizeOption = None,
    site: SiteOption = None,
    input_channels: ChannelsOption = 3,
    normalize: Annotated[
        Literal["unit", "imagenet"], typer.Option(help="Values from 0 to 1, or these with ImageNet's mean and deviation.")
    ] = "unit",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the pictures.")] = Path("maps"),
) -> None:
    """Draw a network's attention maps over images, or compare a student's with a teacher's.

    Exit codes: 0 written, 2 bad input.
    """
    from attnbench.maps.network import TappedNetwork  # noqa: PLC0415
    from attnbench.maps.pictures import check_image, images_in  # noqa: PLC0415
    from attnbench.study.flags import host_from_flags, taps_from_flags  # noqa: PLC0415
    from attnbench.study.plan import ALL  # noqa: PLC0415

    files = [*(image or []), *(images_in(images) if images else [])]
    if not files:
        raise InputError("give --image FILE, or --images FOLDER")
    for file in files:
        check_image(file)
    if student is None and pair:
        raise InputError("--pair needs two hosts: a teacher and a student")
    if tap == ALL:
        raise InputError("--tap all is for sweep: all taps make the same maps; name one")
    taps_from_flags([tap])
    pairs = [_sides(text) for text in pair or []]
    hosts = [host_from_flags(spec, site or [] if ".py" in spec else [], input_channels) for spec in (model, student) if spec]
    with scratch() as folder:
        networks = []
        for index, host in enumerate(hosts):
            (own := Path(folder, str(index))).mkdir()
            wanted = [quote(one[index]) for one in pairs] or place or ["each"]
            networks.append(TappedNetwork(host, list(dict.fromkeys(wanted)), tap, size, own))
        output.mkdir(parents=True, exist_ok=True)
        for text in filter(None, map(_untrained, hosts)):
            typer.echo(text)
        if len(networks) == 1:
            _draw(networks[0], files, normalize, output)
        else:
            _compare(networks, pairs, files, normalize, output, f"{model} and {student}")


def _draw(network: "TappedNetwork", files: "Sequence[Path]", normalization: str, output: Path) -> None:
    """A sheet of all maps for each image, and a picture of each map."""
    from attnbench.maps.pictures import network_input, overlay, png, read_image, sheet  # noqa: PLC0415
    from attnbench.report.maps import network as table  # noqa: PLC0415

    parts = []
    for name, file in zip(_names([file.stem for file in files]), files, strict=True):
        image = read_image(file)
        found = network.maps(network_input(image, network.shape, normalization))
        overlays = {place: overlay(image, one) for place, one in found.items()}
        (output / name).mkdir(exist_ok=True)
        for place, picture in zip(_names(list(overlays)), overlays.values(), strict=True):
            picture.save(output / name / f"{place}.png")
        (output / f"{name}.png").write_bytes(seen := png(sheet(image, overlays)))
        title, figures = f"{file.name} at {network.shape[2]}x{network.shape[3]}", table(found)
        parts.append((title, [seen], figures))
        show_table(figures, title)
        typer.echo(f"\nwrote {output / name}.png, and each map to {output / name}/")
    _page(output, "Attention maps", parts)


def _compare(
    networks: "Sequence[TappedNetwork]",
    pairs: "Sequence[tuple[str, str]]",
    files: "Sequence[Path]",
    normalization: str,
    output: Path,
    title: str,
) -> None:
    """A table, the figures of each image, and a chart."""
    from attnbench.maps.pictures import network_input, overlay, png, read_image, sheet  # noqa: PLC0415
    from attnbench.report.maps import chart, comparison  # noqa: PLC0415
    from attnbench.report.table import Table  # noqa: PLC0415

    teacher, student = (list(network.sites.values()) for network in networks)
    pairs = pairs or [(one, one) for one in teacher if one in student]
    if not pairs:
        raise InputError("the two have no place of one name: give --pair TEACHER'S=STUDENT'S for each")
    for places, side in ((teacher, 0), (student, 1)):
        for one in pairs:
            if one[side] not in places:
                raise UnknownName("site of a pair", one[side], places, "each side is one site")
    found: list[ComparedMaps] = []
    parts: list[PartOfMaps] = []
    for file in files:
        image = read_image(file)
        sides = [network.maps(network_input(image, network.shape, normalization)) for network in networks]
        found += _compared(file.name, sides, pairs)
        overlays = {
            f"{who}: {places[at]}": overlay(image, side[places[at]])
            for places in pairs
            for at, (who, side) in enumerate(zip(("teacher", "student"), sides, strict=True))
        }
        parts.append((file.name, [png(sheet(image, overlays))], Table()))
    answer = comparison(found)
    for section, table in answer.sections:
        show_table(table, section)
    write_whole(output / "maps.md", answer.markdown())
    write_whole(output / "maps.csv", answer.csv())
    write_whole(output / "maps.svg", chart(found, f"Attention maps of {title}"))
    typer.echo("\n" + "\n".join(answer.notes))
    typer.echo(f"wrote {output / 'maps.svg'}, maps.md and maps.csv")
    parts += [(section, [], table) for section, table in answer.sections]
    _page(output, f"Attention maps of {title}", parts, answer.notes)


def _compared(
    name: str, sides: "Sequence[dict[str, np.ndarray]]", pairs: "Sequence[tuple[str, str]]"
) -> "Iterator[ComparedMaps]":
    """The distances of each pair of places on one image, of the two networks' maps by place."""
    import torch  # noqa: PLC0415

    from attnbench.maps import map_distances, matched  # noqa: PLC0415
    from attnbench.report.maps import ComparedMaps  # noqa: PLC0415

    for teacher, student in pairs:
        one, other = (torch.from_numpy(side[place])[None] for side, place in zip(sides, (teacher, student), strict=True))
        height, width = matched(one, other)[0].shape[1:]
        distances = (float(value) for value in map_distances(one, other))
        yield ComparedMaps(name, teacher, student, height, width, *distances)


def _page(output: Path, title: str, parts: "Sequence[PartOfMaps]", notes: "Sequence[str]" = ()) -> None:
    """All of it as one page for a browser, where the extra that makes pages is installed."""
    from attnbench.report.charts.drawing import installed  # noqa: PLC0415
    from attnbench.report.maps import page  # noqa: PLC0415

    if installed():
        write_whole(output / "maps.html", page(title, notes, parts))
        typer.echo(f"wrote {output / 'maps.html'}, one page with all of it")


def _sides(text: str) -> tuple[str, str]:
    sides = split(text, "=")
    if len(sides) != 2 or not all(sides):
        raise InputError(f"--pair '{text}' is not TEACHER'S=STUDENT'S: write it like neck.p3=neck.p3")
    return unquote(sides[0]), unquote(sides[1])


def _untrained(host: "StudyHost") -> str:
    """What a reader of the maps of a built-in network must know."""
    if ".py" in host.spec or host.spec.endswith(".onnx"):
        return ""
    return f"{host.spec} has random weights: for a trained network, give your own as MODEL.onnx or FILE.py:FACTORY"


def _names(texts: list[str]) -> list[str]:
    """File names for texts of any signs, no two the same."""
    plain = [slug(text, "_", "map") for text in texts]
    return [name if plain.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(plain)]
