"""A convolution with its batch norm, its activation and a site behind them: what the mobile networks are made of."""

from torch import nn

from attnbench.hosts.site import Site


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    *,
    activation: type[nn.Module] | None = None,
    site: Site | None = None,
    eps: float = 1e-5,
) -> nn.Sequential:
    """``[N, inputs, H, W]`` to ``[N, outputs, H / stride, W / stride]``, without bias and padded to keep the size.

    The convolution is ``0`` and the norm ``1`` of the sequence, as in torchvision; the site is last and has no parameters.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=eps),
    ]
    if activation is not None:
        layers.append(activation())
    if site is not None:
        layers.append(site)
    return nn.Sequential(*layers)
