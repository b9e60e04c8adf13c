"""A standard convolution, and one that is separable by depth: what mobile networks put in its place.

A standard convolution filters over positions and mixes the channels at once; the separable one filters each channel by
itself and mixes them with a 1x1 convolution. Neither is attention: they stand here to be compared. Howard et al.:
MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017.

Each convolution is followed by batch norm and ReLU, as in the paper's figure 3.
"""

from torch import nn

from attnbench.modules import AttentionModule, Plane, even_kernel


def conv(channels: int, kernel: int) -> nn.Sequential:
    """A convolution of all channels with all, its norm and ReLU."""
    return _filtered(channels, kernel)


def separable_conv(channels: int, kernel: int) -> nn.Sequential:
    """A convolution of each channel with itself and a 1x1 convolution, each with its norm and ReLU."""
    return nn.Sequential(*_filtered(channels, kernel, groups=channels), *_filtered(channels, 1))


def _filtered(channels: int, kernel: int, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU())


def _separable_weights(plane: Plane, kernel: int) -> int:
    return kernel**2 * plane.channels + plane.channels**2


ENTRIES = (
    AttentionModule(
        name="conv",
        build=conv,
        summary="no attention: a standard 3x3 convolution, batch norm, ReLU; to compare with",
        paper="Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017",
        source="the paper's figure 3",
        options={"kernel": 3},
        params=lambda p, kernel: kernel**2 * p.channels**2 + 2 * p.channels,
        macs=lambda p, kernel: kernel**2 * p.channels**2 * p.positions,
        refuses=even_kernel,
    ),
    AttentionModule(
        name="separable_conv",
        build=separable_conv,
        summary="no attention: a depthwise 3x3 and a 1x1 convolution, each with batch norm and ReLU; to compare with",
        paper="Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017",
        source="the paper's figure 3",
        options={"kernel": 3},
        params=lambda p, kernel: _separable_weights(p, kernel) + 4 * p.channels,
        macs=lambda p, kernel: _separable_weights(p, kernel) * p.positions,
        refuses=even_kernel,
    ),
)
