"""Taps, which add a map beside their input, and the convolutions that modules are compared with."""

from references import relu


def at(w, x):
    strength = abs(x) ** w.options["p"]
    active = {"sum": strength.sum, "mean": strength.mean, "max": strength.amax}[w.options["reduce"]](1, keepdim=True)
    norm = (active**2).sum((2, 3), keepdim=True) ** 0.5
    return x, active / (norm + 1e-8)


def conv(w, x):
    return relu(w.bn("1", w.same("0", x)))


def separable_conv(w, x):
    filtered = relu(w.bn("1", w.same("0", x, groups=x.shape[1])))
    return relu(w.bn("4", w.mix("3", filtered)))


PLAIN = {"at": at, "at_reduce": at, "at_conv": at, "conv": conv, "separable_conv": separable_conv}
