"""The attention modules, one file a paper. A file ends in ``ENTRIES``; to add a module, add a file.

This package's root imports no torch, so that the modules can be listed without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from attnbench.core.catalogue import (
    Catalogue,
    accepted,
    check_factory,
    check_ranges,
    is_reference,
    load_object,
    merge_options,
    parts_of,
)
from attnbench.core.errors import CaseRefused, InputError
from attnbench.core.grammar import OptionValue, Spec
from attnbench.core.users import users_code

if TYPE_CHECKING:
    from torch import nn

MODULES = Catalogue("module", "attnbench.modules", "attnbench.modules")


@dataclass(frozen=True)
class Plane:
    """The tensor a module is put on: ``channels`` maps of ``height`` x ``width``.

    ``block_input`` is what a slot of a host offers beside it: the channels that came into the block around the slot. It is
    0 at every other place. ``stride`` is what the sides are divided by (rounded up) at a place that replaces a convolution,
    and 1 at every other place.
    """

    channels: int
    height: int
    width: int
    block_input: int = 0
    stride: int = 1

    @property
    def positions(self) -> int:
        """Height times width, the N of the papers."""
        return self.height * self.width

    @property
    def written(self) -> int:
        """The positions of what a module writes: those of the plane, divided by the stride both ways and rounded up."""
        return -(-self.height // self.stride) * -(-self.width // self.stride)


@dataclass(frozen=True)
class AttentionModule:
    """A registered module: ``[N, C, H, W]`` in, the same shape out.

    ``build(channels, [height, width, block_input,] **options)`` makes the ``nn.Module``. ``params(plane, **options)`` and
    ``macs(plane, **options)`` are the closed forms, written from the paper and not from the code, that tests compare the
    code with; MACs are those of convolutions, linear layers and matrix products. ``refuses`` says why a plane or an option
    is out of the module's own definition, or nothing. ``source`` is the authors' code or the document it follows.

    A whole number among the options is at least 1 and any other number above 0, unless ``least`` names the smallest that an
    option may be; ``choices`` list what it may be where it is not free.

    ``rewrite_of`` names modules that this one computes exactly with other ops, for an NPU that refuses theirs; its class
    then has ``adopt(original)``, which takes the original's weights over. ``opset`` is the lowest ONNX opset that has its
    ops, where that is above the tool's own. ``year`` is that of ``paper``, which ends in it, unless an earlier version came
    before: then it is given.

    A ``tap`` gives its input back as it is, and a second output beside it, which becomes an output of the network.
    """

    name: str
    build: Callable[..., "nn.Module"]
    summary: str
    paper: str
    source: str
    params: Callable[..., int]
    macs: Callable[..., int]
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    choices: Mapping[str, tuple[OptionValue, ...]] = field(default_factory=dict)
    refuses: Callable[..., str] | None = None
    rewrite_of: tuple[str, ...] = ()
    opset: int = 0
    year: int = 0
    tap: bool = False

    def __post_init__(self) -> None:
        written = self.paper[-4:]
        if not self.year and written.isdecimal():
            object.__setattr__(self, "year", int(written))


def too_narrow(plane: Plane, reduction: int, **_options: OptionValue) -> str:
    """The refusal of a module whose reduced width would have no channel; empty where it has one."""
    return f"needs at least {reduction} channels" if plane.channels < reduction else ""


def no_hidden_channel(plane: Plane, reduction: int) -> str:
    """The same refusal in the words of the squeeze-and-excitation family."""
    return f"needs at least {reduction} channels (channels / reduction is 0)" if plane.channels < reduction else ""


def in_eights(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and no less than nine tenths of it: how mobile networks round channels."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def even_kernel(_plane: Plane, kernel: int, **_options: OptionValue) -> str:
    """The refusal of a kernel that has no middle; empty for one that has."""
    return "" if kernel % 2 else f"kernel must be odd, not {kernel}"


def build_module(spec: Spec, plane: Plane) -> "nn.Module":
    """The module that a spec names, built for this plane.

    Raises ``UnknownName`` or ``InputError`` for a spec that means nothing, ``CaseRefused`` for a plane that the module's
    definition excludes, and ``CaseFailure`` through the caller for whatever the user's own code raises.
    """
    size = {name: value for name, value in asdict(plane).items() if name != "stride" or value != 1}
    where = f"{spec} at {plane.channels}x{plane.height}x{plane.width}"
    if is_reference(spec.name):
        return _build_user_module(spec, size, where)
    entry: AttentionModule = MODULES.load(spec.name)
    options = module_options(spec)
    taken = accepted(entry.build, size)
    reason = entry.refuses(plane, **options) if entry.refuses else ""
    if reason or "stride" in size.keys() - taken.keys():
        raise CaseRefused("build", f"{where}: {reason or _KEEPS_SIZE}")
    return entry.build(**taken, **options)


_KEEPS_SIZE = "it keeps the size of a map, and this place divides it: choose a module that takes a stride"


def row_stride(site: str, row: Sequence[Spec], stride: int) -> int:
    """The stride for a module at a site. Raises ``CaseRefused`` for several in a row where the sides are divided."""
    if stride > 1 and len(row) > 1:
        raise CaseRefused("build", f"{'+'.join(map(str, row))} at {site}: one module stands where a stride is replaced")
    return stride


def module_names(*, taps: bool = False) -> list[str]:
    """The registered attention modules, or the registered taps, sorted; imports no torch."""
    return [name for name in MODULES.names() if bool(MODULES.find(name).get("tap")) is taps]


def rewrites_of(spec: Spec) -> list[Spec]:
    """The modules that compute exactly what this one does with other ops, at the same options; imports no torch."""
    found = []
    for name, entry in sorted(MODULES.describe().items()):
        if spec.name in (entry.get("rewrite_of") or ()):
            wanted = {**(MODULES.find(spec.name).get("options") or {}), **spec.options}
            own = entry.get("options") or {}
            found.append(Spec(name, {key: wanted[key] for key in own if key in wanted and wanted[key] != own[key]}))
    return found


def check_spec(spec: Spec) -> None:
    """Raise ``InputError`` where a spec names no module or an option it does not have; imports no torch."""
    if is_reference(spec.name):
        parts_of(spec.name, "module")
    else:
        module_options(spec)


def module_options(spec: Spec) -> dict[str, OptionValue]:
    """A registered module's options with the spec's own in place. Raises ``InputError`` for one out of its range."""
    told = MODULES.fields(spec.name)
    options = merge_options("module", spec, told.get("options") or {})
    check_ranges("module", spec, options, told.get("least") or {}, told.get("choices") or {})
    return options


def _build_user_module(spec: Spec, size: dict[str, int], where: str) -> "nn.Module":
    from torch import nn  # noqa: PLC0415  this package's root is listed without torch

    factory = load_object(spec.name, "module")
    check_factory("module", spec, factory)
    taken = accepted(factory, size)
    if "stride" in size.keys() - taken.keys():
        raise CaseRefused("build", f"{where}: {_KEEPS_SIZE}")
    with users_code(f"module {spec}", "build"):
        built: Any = factory(**taken, **spec.options)
    if not isinstance(built, nn.Module):
        raise InputError(f"module '{spec.name}' gave a {type(built).__name__}: it must give a torch.nn.Module")
    return built
