"""Each module of the registry once more, from its paper: functions of a weight store and a map, in the plainest torch there is.

Nothing of the package is used but the names of weights. Where the module pools, slices or moves axes, the function masks, indexes
or sums: attention along lines is attention between all positions with a mask. ``REFERENCES`` holds a function for each module.
"""

import torch
from torch.nn import functional

sig, relu, softmax = torch.sigmoid, torch.relu, torch.softmax


class Weights:
    """A module's weights and statistics by name, its options, and whether it is trained."""

    def __init__(self, module, options, train):
        self.held = module.state_dict()
        self.options, self.train = options, train

    def __getitem__(self, name):
        return self.held[name]

    def mix(self, name, x):
        """A linear layer or 1x1 convolution over axis 1, as a sum of products."""
        weight, bias = self[f"{name}.weight"], self.held.get(f"{name}.bias")
        mixed = torch.einsum("oc,nc...->no...", weight.flatten(1), x)
        return mixed if bias is None else mixed + bias.reshape(1, -1, *[1] * (x.dim() - 2))

    def conv(self, name, x, **how):
        return functional.conv2d(x, self[f"{name}.weight"], self.held.get(f"{name}.bias"), **how)

    def same(self, name, x, dilation=1, **how):
        """A convolution that keeps the size."""
        sides = self[f"{name}.weight"].shape[2:]
        return self.conv(name, x, padding=[dilation * (side // 2) for side in sides], dilation=dilation, **how)

    def affine(self, name, x):
        shape = (1, -1, *[1] * (x.dim() - 2))
        return x * self[f"{name}.weight"].reshape(shape) + self[f"{name}.bias"].reshape(shape)

    def bn(self, name, x, eps=1e-5):
        """Batch normalisation over axis 1: by the batch where it is trained, else by what was seen."""
        axes, shape = [axis for axis in range(x.dim()) if axis != 1], (1, -1, *[1] * (x.dim() - 2))
        if self.train:
            mean = x.mean(axes, keepdim=True)
            variance = ((x - mean) ** 2).mean(axes, keepdim=True)
        else:
            mean, variance = self[f"{name}.running_mean"].reshape(shape), self[f"{name}.running_var"].reshape(shape)
        return self.affine(name, (x - mean) / (variance + eps) ** 0.5)

    def ln(self, name, x, eps=1e-5):
        """Layer normalisation over axis 1."""
        mean = x.mean(1, keepdim=True)
        return self.affine(name, (x - mean) / (((x - mean) ** 2).mean(1, keepdim=True) + eps) ** 0.5)

    def gn(self, name, x, groups, eps=1e-5):
        parts = x.reshape(x.shape[0], groups, -1)
        mean = parts.mean(2, keepdim=True)
        return self.affine(
            name, ((parts - mean) / (((parts - mean) ** 2).mean(2, keepdim=True) + eps) ** 0.5).reshape(x.shape)
        )


def mean(x):
    """The mean of each channel."""
    return x.mean((2, 3))


def gated(x, gate):
    """The map times a gate a channel."""
    return x * gate[:, :, None, None]


def flat(x):
    return x.reshape(*x.shape[:2], -1)


def attend(query, key, value, scale=1.0, allowed=None):
    """Every position of ``[N, C, positions]`` to every other, or to those that a mask allows."""
    scores = torch.einsum("nci,ncj->nij", query, key) * scale
    if allowed is not None:
        scores = scores.masked_fill(~allowed, float("-inf"))
    return torch.einsum("nij,ncj->nci", softmax(scores, 2), value)


def headed(query, key, value, heads, allowed=None):
    """The same, a head after the other, with scores over the root of a head's channels."""
    parts = zip(*(one.chunk(heads, 1) for one in (query, key, value)), strict=True)
    return torch.cat([attend(q, k, v, q.shape[1] ** -0.5, allowed) for q, k, v in parts], 1)


def places(x):
    """Row and column of each position, in the order of ``flat``."""
    height, width = x.shape[2:]
    numbers = torch.arange(height * width)
    return numbers // width, numbers % width


def same_of(values):
    """A mask of which positions have one value."""
    return values[:, None] == values[None, :]
