"""Gates a channel, and gates a channel and position without attention."""

import math

import torch
from torch.nn import functional

from references import flat, gated, mean, relu, sig, softmax


def bottleneck(first, second):
    return lambda w, v: w.mix(second, relu(w.mix(first, v)))


def se(w, x):
    pooled = x.amax((2, 3)) if w.options.get("pool") == "max" else mean(x)
    return gated(x, sig(bottleneck("reduce", "expand")(w, pooled)))


def hard(x):
    return ((x + 3).clamp(0, 6)) / 6


def se_swish(w, x):
    hidden = w.mix("reduce", mean(x))
    return gated(x, sig(w.mix("expand", hidden * sig(hidden))))


def se_mobile(w, x):
    return gated(x, hard(bottleneck("reduce", "expand")(w, mean(x))))


def ese(w, x):
    return gated(x, hard(w.mix("mix", mean(x))))


def eca(w, x):
    taps, means = w["neighbours.weight"].flatten(), mean(x)
    half, channels = len(taps) // 2, x.shape[1]
    scores = torch.zeros_like(means)
    for channel in range(channels):
        for tap in range(len(taps)):
            if 0 <= channel + tap - half < channels:
                scores[:, channel] += taps[tap] * means[:, channel + tap - half]
    return gated(x, sig(scores))


def eca_banded(w, x):
    return gated(x, sig(mean(x) @ w["mix.weight"][:, :, 0, 0].T))


def nam(w, x):
    share = w["norm.weight"].abs() / w["norm.weight"].abs().sum()
    return x * sig(w.bn("norm", x) * share[None, :, None, None])


def srm(w, x):
    deviation = (flat(x).var(2, unbiased=True) + 1e-5).sqrt()
    z = w["weight"][0] * mean(x) + w["weight"][1] * deviation
    return gated(x, sig(w.bn("norm", z)))


FREQUENCIES = (
    (0, 0),
    (0, 1),
    (6, 0),
    (0, 5),
    (0, 2),
    (1, 0),
    (1, 2),
    (4, 0),
    (5, 0),
    (1, 6),
    (3, 0),
    (0, 4),
    (0, 6),
    (0, 3),
    (3, 5),
    (2, 2),
)


def fca(w, x):
    height, width = x.shape[2:]

    def wave(place, frequency, length):
        scale = math.sqrt((2 if frequency else 1) / length)
        return scale * math.cos(math.pi * frequency * max(1, length // 7) * (place + 0.5) / length)

    parts = []
    for part, (u, v) in zip(x.chunk(len(FREQUENCIES), 1), FREQUENCIES, strict=True):
        pattern = torch.tensor([[wave(i, u, height) * wave(j, v, width) for j in range(width)] for i in range(height)])
        parts.append((part * pattern).sum((2, 3)))
    return gated(x, sig(bottleneck("gate.0", "gate.2")(w, torch.cat(parts, 1))))


def gc(w, x):
    weights = softmax(flat(w.mix("weight", x)), 2)
    context = (flat(x) * weights).sum(2)
    hidden = w.mix("transform.0", context)
    centred = hidden - hidden.mean(1, keepdim=True)
    normal = centred / ((centred**2).mean(1, keepdim=True) + 1e-5) ** 0.5
    normal = normal * w["transform.1.weight"].flatten() + w["transform.1.bias"].flatten()
    return x + w.mix("transform.3", relu(normal))[:, :, None, None]


def ge(w, x):
    form = w.options["form"]
    if form == "minus":
        return gated(x, sig(mean(x)))
    gathered = w.bn("gather.1", (x * w["gather.0.weight"][:, 0]).sum((2, 3)))
    return gated(x, sig(bottleneck("gather.3", "gather.5")(w, relu(gathered)) if form == "plus" else gathered))


def soca(w, x):
    maps, n = flat(x), x.shape[2] * x.shape[3]
    centring = (torch.eye(n) - torch.ones(n, n) / n) / n
    matrix = maps @ centring @ maps.transpose(1, 2)
    eye, trace = torch.eye(x.shape[1]), torch.einsum("nii->n", matrix)[:, None, None]
    root, inverse = matrix / trace, eye.expand_as(matrix)
    for _ in range(5):
        step = (3 * eye - inverse @ root) / 2
        root, inverse = root @ step, step @ inverse
    return gated(x, sig(bottleneck("gate.0", "gate.2")(w, (root * trace.sqrt()).mean(1))))


def cbam(first, second, order, kernel="spatial.0", norm="spatial.1"):
    def module(w, x):
        mlp = bottleneck(first, second)
        x = gated(x, sig(mlp(w, mean(x)) + mlp(w, x.amax((2, 3)))))
        if f"{kernel}.weight" not in w.held:
            return x
        seen = {"mean": x.mean(1, keepdim=True), "max": x.max(1, keepdim=True).values}
        scores = w.same(kernel, torch.cat([seen[name] for name in order], 1))
        return x * sig(w.bn(norm, scores) if norm else scores)

    return module


def bam(w, x):
    channel = w.mix("channel.5", relu(w.bn("channel.3", w.mix("channel.2", mean(x)))))
    hidden = relu(w.bn("spatial.1", w.mix("spatial.0", x)))
    for conv, norm in ((3, 4), (6, 7)):
        hidden = relu(w.bn(f"spatial.{norm}", w.same(f"spatial.{conv}", hidden, w.options["dilation"])))
    return x * (1 + sig(channel[:, :, None, None] + w.mix("spatial.9", hidden)))


def scse(w, x):
    return torch.stack(
        [gated(x, sig(bottleneck("channel.1", "channel.3")(w, mean(x)))), x * sig(w.mix("position", x))]
    ).amax(0)


def coord(shared):
    def module(w, x):
        rows, columns = x.mean(3), x.mean(2)

        def hidden(means):
            z = w.bn("norm", w.mix("reduce", means))
            return z * (z + 3).clamp(0, 6) / 6

        if shared:
            rows, columns = hidden(torch.cat([rows, columns], 2)).split([rows.shape[2], columns.shape[2]], 2)
        else:
            rows, columns = hidden(rows), hidden(columns)
        return x * sig(w.mix("row_gate", rows))[:, :, :, None] * sig(w.mix("column_gate", columns))[:, :, None, :]

    return module


def ela(w, x):
    def gate(means):
        length, kernel = means.shape[2], w["neighbours.weight"][:, 0]
        half = kernel.shape[1] // 2
        padded = functional.pad(means, (half, half))
        seen = sum(kernel[:, tap, None] * padded[:, :, tap : tap + length] for tap in range(kernel.shape[1]))
        return sig(w.gn("norm", seen, w.options["groups"]))

    return x * gate(x.mean(3))[:, :, :, None] * gate(x.mean(2))[:, :, None, :]


def caa(w, x):
    def mixed(name, z):
        z = w.bn(f"{name}.1", w.mix(f"{name}.0", z), 1e-3)
        return z * sig(z)

    smooth = functional.conv2d(x.flatten(0, 1)[:, None], torch.full((1, 1, 7, 7), 1 / 49), padding=3).reshape(x.shape)
    channels = x.shape[1]
    seen = w.same("column", w.same("row", mixed("enter", smooth), groups=channels), groups=channels)
    return x * sig(mixed("leave", seen))


def simam(w, x):
    distance = (x - mean(x)[:, :, None, None]) ** 2
    variance = flat(x).var(2, unbiased=True)[:, :, None, None]
    return x * sig(distance / (4 * (variance + w.options["regulariser"])) + 0.5)


def sge(w, x):
    parts = []
    for group, part in enumerate(x.chunk(w.options["groups"], 1)):
        likeness = torch.einsum("nchw,nc->nhw", part, mean(part))
        centred = likeness - likeness.mean((1, 2), keepdim=True)
        normal = centred / (likeness.flatten(1).std(1)[:, None, None] + 1e-5)
        parts.append(part * sig(normal * w["weight"][0, group] + w["bias"][0, group])[:, None])
    return torch.cat(parts, 1)


def shuffle(w, x):
    parts = []
    for part in x.chunk(w.options["groups"], 1):
        one, two = part.chunk(2, 1)
        parts.append(one * sig(w["channel_weight"] * mean(one)[:, :, None, None] + w["channel_bias"]))
        normal = w.gn("norm", two, two.shape[1])
        parts.append(two * sig(w["position_weight"] * normal + w["position_bias"]))
    joined, half = torch.cat(parts, 1), x.shape[1] // 2
    order = [channel + part * half for channel in range(half) for part in (0, 1)]
    return joined[:, order]


def triplet(w, x):
    def gate(name, y):
        seen = torch.stack([y.amax(1), y.mean(1)], 1)
        return sig(w.bn(f"{name}.norm", w.same(f"{name}.conv", seen)))

    across = x * gate("channel_width", x.transpose(1, 2)).transpose(1, 2)
    down = x * gate("channel_height", x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
    return (across + down + x * gate("plane", x)) / 3


def ema(w, x):
    parts = []
    for part in x.chunk(w.options["groups"], 1):
        rows, columns = w.mix("mix", part.mean(3)), w.mix("mix", part.mean(2))
        one = w.gn("norm", part * sig(rows)[..., None] * sig(columns)[:, :, None], part.shape[1])
        two = w.same("local", part)
        scores = sum(torch.einsum("nc,nchw->nhw", softmax(mean(a), 1), b) for a, b in ((one, two), (two, one)))
        parts.append(part * sig(scores)[:, None])
    return torch.cat(parts, 1)


def gam(w, x):
    x = x * sig(bottleneck("channel.0", "channel.2")(w, x))
    groups = w.options["groups"]
    hidden = relu(w.bn("spatial.1", w.same("spatial.0", x, groups=groups)))
    return x * sig(w.bn("spatial.4", w.same("spatial.3", hidden, groups=groups)))


def lka(w, x):
    c, inner = x.shape[1], w.options["projected"]
    name = "attend." if inner else ""
    z = w.mix("enter", x) if inner else x
    z = z * 0.5 * (1 + torch.erf(z / math.sqrt(2))) if inner else z
    gate = w.mix(f"{name}mix", w.same(f"{name}far", w.same(f"{name}near", z, groups=c), 3, groups=c))
    return x + w.mix("leave", z * gate) if inner else x * gate


def lska(w, x):
    c, dilation = x.shape[1], {7: 2, 11: 2}.get(w.options["kernel"], 3)
    near = w.same("near_column", w.same("near_row", x, groups=c), groups=c)
    far = w.same("far_column", w.same("far_row", near, dilation, groups=c), dilation, groups=c)
    return x * w.mix("mix", far)


def lsk(w, x):
    c = x.shape[1]
    near = w.same("near", x, groups=c)
    one, two = w.mix("narrow_near", near), w.mix("narrow_far", w.same("far", near, 3, groups=c))
    both = torch.cat([one, two], 1)
    weights = sig(w.same("weigh", torch.stack([both.mean(1), both.amax(1)], 1)))
    return x * w.mix("mix", one * weights[:, 0:1] + two * weights[:, 1:2])


def attention_gate(w, x):
    both = w.bn("gating.1", w.mix("gating.0", x)) + w.bn("skip.1", w.mix("skip.0", x))
    return x * sig(w.bn("psi.1", w.mix("psi.0", relu(both))))


def attention_gate_grid(w, x):
    height, width = (side // 2 * 2 for side in x.shape[2:])
    corners = [x[:, :, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]
    kernel = w["theta.weight"]
    theta = sum(torch.einsum("oc,nchw->nohw", kernel[:, :, k // 2, k % 2], part) for k, part in enumerate(corners))
    gate = sig(w.mix("psi", relu(theta + w.mix("phi", sum(corners) / 4))))
    for axis, side in ((2, x.shape[2]), (3, x.shape[3])):  # between the centres of the halved map's positions
        length = gate.shape[axis]
        at = ((torch.arange(side) + 0.5) * length / side - 0.5).clamp(0)
        low = at.floor().long()
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
        gate = gate.index_select(axis, low) * (1 - share) + gate.index_select(axis, (low + 1).clamp(max=length - 1)) * share
    return w.bn("project.1", w.mix("project.0", x * gate))


def axial_conv(w, x):
    c = x.shape[1]
    return relu(w.bn("norm", w.same("column", x, groups=c) + w.same("row", x, groups=c) + x))


GATES = {
    "se": se, "se_linear": se, "se_npu": se, "se_swish": se_swish, "se_regnet": se, "se_mobile": se_mobile, "ese": ese,
    "eca": eca, "eca_npu": eca, "eca_banded": eca_banded, "nam": nam, "srm": srm, "fca": fca, "gc": gc, "ge": ge, "soca": soca,
    "cbam": cbam("bottleneck.1", "bottleneck.3", ("max", "mean")),
    "cbam_npu": cbam("bottleneck.0", "bottleneck.2", ("mean", "max"), "spatial", ""),
    "cbam_chunked": cbam("bottleneck.0", "bottleneck.2", ("max", "mean")),
    "bam": bam, "scse": scse, "coord": coord(True), "coord_split": coord(False), "ela": ela, "caa": caa, "simam": simam,
    "sge": sge, "shuffle": shuffle, "triplet": triplet, "ema": ema, "gam": gam, "lka": lka, "lska": lska, "lsk": lsk,
    "attention_gate": attention_gate, "attention_gate_grid": attention_gate_grid, "axial_conv": axial_conv,
}  # fmt: skip
