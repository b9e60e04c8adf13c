"""The options that say which cases are meant, or of which the answer is to be; commands share them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

HostOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST", help="Host: a name, FILE.py:FACTORY or MODEL.onnx.", show_default="the study's, or resnetsan01"
    ),
]
ModuleOption = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE", help="Module: a name[option=value], FILE.py:CLASS, or all.", show_default="the study's"),
]
TapOption = Annotated[
    list[str] | None,
    typer.Option(metavar="TAP", help="Tap, which leaves the network as it is: at[p=2], or all.", show_default="none"),
]
PlaceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PLACE",
        help="Place: a site, placement, glob, a+b, each, or a submodule's path.",
        show_default="the study's",
    ),
]
VariantOption = Annotated[
    list[str] | None,
    typer.Option(metavar="VARIANT", help="Variant: PLACE=MODULE[,PLACE=MODULE].", show_default="the study's"),
]
SizeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SIZE", help="Input size HEIGHTxWIDTH.", show_default="the study's, the file's, or 384x640"),
]
OneSizeOption = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Input size HEIGHTxWIDTH.", show_default="the file's, or 384x640")
]
OpenSizeOption = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Input size HEIGHTxWIDTH, where the file leaves it open.", show_default="the file's"),
]
ShapeOption = Annotated[
    list[str] | None, typer.Option(metavar="SHAPE", help="Shape of an input: NAME=1x3x48x320.", show_default="the file's")
]
OnlyHostOption = Annotated[str | None, typer.Option(metavar="HOST", help="Only this host.", show_default="all")]
OnlySizeOption = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Only this input size: HEIGHTxWIDTH.", show_default="all")
]
SiteOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SITE", help="Site of a factory's host: SUBMODULE.PATH=NAME.", show_default="none"),
]
ChannelsOption = Annotated[int, typer.Option(min=1, max=65_536, help="Image channels of a factory's host.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Batch size.", show_default="the study's, or 1")]
DaskOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Measure on the machines of this Dask scheduler.", show_default="this machine"),
]
DaskModeOption = Annotated[
    Literal["each", "split"],
    typer.Option(help="With --dask: every machine measures all cases, or like machines split them."),
]
DaskTlsOption = Annotated[
    tuple[Path, Path, Path] | None,
    typer.Option(metavar="CA CERT KEY", help="The files to speak TLS to Dask with.", show_default="loopback only"),
]
