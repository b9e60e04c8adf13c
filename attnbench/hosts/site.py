"""A named place in a host where a module can stand.

A ``Site`` is an identity that can do two other things: hold an *occupant*, so that a whole network can be built the
ordinary way with modules inside (the oracle of the splicing), or leave a *marker* node ``attnbench::Site`` in an ONNX
export, so that modules can be spliced in later.

A site may also *replace*: it stands for layers of the host, which run unless a module takes their place. Its marker then has
two inputs, what comes in and what the layers make of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.naming import MARKER_DOMAIN, MARKER_OP


class Site(nn.Module):
    """Identity with a name; ``[N, C, H, W]`` in and out.

    A slot also says how many channels came into the block around it (``block_input``), for modules whose width follows it.
    ``replaces`` are layers that a module takes the place of, in their order, and ``stride`` what they divide the sides by.
    They stay the submodules of who built them.
    """

    def __init__(self, name: str, block_input: int = 0, replaces: tuple[nn.Module, ...] = (), stride: int = 1) -> None:
        super().__init__()
        self.name, self.block_input = name, block_input
        self.replaces, self.stride = replaces, stride
        self.occupant: nn.Module | None = None
        self.tapped: list[torch.Tensor] = []
        self.marking = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input or what the layers here make of it, what the occupant makes of it, or a marker with the site's name.

        ``tapped`` is what a tap adds.
        """
        if not isinstance(x, torch.Tensor) or x.dim() != 4:
            given = "x".join(map(str, x.shape)) if isinstance(x, torch.Tensor) else type(x).__name__
            raise InputError(f"site '{self.name}' must be a tensor [N, C, H, W], not {given}: choose another submodule")
        if self.occupant is not None:
            made = self.occupant(x)
            if isinstance(made, tuple):
                made, *self.tapped = made
            return made
        found = x
        for layer in self.replaces:
            found = layer(found)
        if self.marking:
            return torch.onnx.ops.symbolic(
                f"{MARKER_DOMAIN}::{MARKER_OP}",
                (x, found) if self.replaces else (x,),
                {"site": self.name, "block_input": self.block_input, "stride": self.stride},
                dtype=x.dtype,
                shape=found.shape,
                version=1,
            )
        return found


def sites_of(host: nn.Module) -> dict[str, Site]:
    """The host's sites by name, in the order of its modules."""
    found: dict[str, Site] = {}
    for module in host.modules():
        if isinstance(module, Site):
            if module.name in found:
                raise InputError(f"the host has two sites named '{module.name}'")
            found[module.name] = module
    return found


@contextmanager
def marked(host: nn.Module) -> Iterator[nn.Module]:
    """The host with every site leaving its marker, for the length of one export."""
    sites = sites_of(host).values()
    for site in sites:
        site.marking = True
    try:
        yield host
    finally:
        for site in sites:
            site.marking = False


def occupy(host: nn.Module, occupants: Mapping[str, nn.Module]) -> nn.Module:
    """Put a module at each named site of the host, in place, and return the host."""
    sites = sites_of(host)
    for name, occupant in occupants.items():
        sites[name].occupant = occupant
    return host


class Sited(nn.Module):
    """A foreign host with sites of its own beside it, so that nothing is added to the host's own submodules."""

    def __init__(self, host: nn.Module, sites: Iterable[Site]) -> None:
        super().__init__()
        self.host = host
        self.sites = nn.ModuleList(sites)

    def forward(self, image: torch.Tensor) -> Any:
        """What the host makes of the image."""
        return self.host(image)


def attach_sites(host: nn.Module, paths: Mapping[str, str]) -> Sited:
    """Give a foreign host sites: each name stands on the output of the submodule at its path.

    A forward hook leads the submodule's output through the site, so that indexing into and type checks on the host's own
    submodules keep working. Raises ``InputError`` naming a path that is not there.
    """
    sites = []
    for name, path in paths.items():
        try:
            submodule = host.get_submodule(path)
        except AttributeError as error:
            known = [known for known, _ in host.named_modules() if known]
            raise UnknownName("submodule of the host", path, known) from error
        sites.append(Site(name))
        submodule.register_forward_hook(lambda _module, _inputs, output, site=sites[-1]: site(output))
    return Sited(host, sites)


def outputs_of(host: nn.Module, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Where a module could stand in a foreign host: the submodules that give one ``[N, C, H, W]`` tensor, once in a run.

    By path, with the tensor's shape for an input of that shape, in the order of the run.
    """
    seen: dict[str, list[Any]] = {}
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, path=path: seen.setdefault(path, []).append(output))
        for path, module in host.named_modules()
        if path
    ]
    try:
        with torch.no_grad():
            host.eval()(torch.zeros(shape))
    finally:
        for hook in hooks:
            hook.remove()
    once = {path: found[0] for path, found in seen.items() if len(found) == 1}
    return {path: tuple(one.shape) for path, one in once.items() if isinstance(one, torch.Tensor) and one.dim() == 4}
