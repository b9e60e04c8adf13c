"""Attention between positions, and blocks that stand where a convolution would."""

import math

import torch
from torch.nn import functional

from references import attend, flat, headed, mean, places, relu, same_of, sig, softmax


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def triple(w, x, *names):
    return [flat(w.mix(name, x)) for name in names or ("query", "key", "value")]


def self_attention(w, x):
    query, key, value = triple(w, x)
    return attend(query, key, value, query.shape[1] ** -0.5).reshape(x.shape)


def linear_attention(w, x):
    query, key, value = triple(w, x)
    query, key = (torch.where(one > 0, one, one.exp() - 1) + 1 for one in (query, key))
    parts = []
    for q, k, v in zip(*(one.chunk(w.options["heads"], 1) for one in (query, key, value)), strict=True):
        weights = torch.einsum("nci,ncj->nij", q, k)
        parts.append(torch.einsum("nij,ncj->nci", weights, v) / (weights.sum(2)[:, None] + 1e-6))
    return w.mix("project", torch.cat(parts, 1).reshape(x.shape))


def efficient_attention(w, x):
    parts = []
    for q, k, v in zip(*(one.chunk(w.options["heads"], 1) for one in triple(w, x)), strict=True):
        weights = torch.einsum("nci,ncj->nij", softmax(q, 1), softmax(k, 2))
        parts.append(torch.einsum("nij,ncj->nci", weights, v))
    joined = torch.cat(parts, 1)
    return x + w.mix("project", joined.reshape(x.shape[0], joined.shape[1], *x.shape[2:]))


def a2(w, x):
    features, gather, give = triple(w, x, "features", "gather", "give")
    vectors = torch.einsum("nci,nki->nck", features, softmax(gather, 2))
    given = torch.einsum("nck,nki->nci", vectors, softmax(give, 1))
    return x + w.mix("project", given.reshape(x.shape[0], -1, *x.shape[2:]))


def danet(w, x):
    query, key, value = triple(w, x, *(f"positions.{name}" for name in ("query", "key", "value")))
    by_place = w["positions.scale"] * attend(query, key, value).reshape(x.shape) + x
    maps = flat(x)
    likeness = maps @ maps.transpose(1, 2)
    unlike = softmax(likeness.max(2, keepdim=True).values - likeness, 2)
    return by_place + w["channels.scale"] * (unlike @ maps).reshape(x.shape) + x


def criss_cross(w, x):
    row, column = places(x)
    allowed = same_of(row) | same_of(column)
    for _ in range(w.options["recurrence"]):
        x = x + w["scale"] * attend(*triple(w, x), allowed=allowed).reshape(x.shape)
    return x


def halved(x):
    height, width = (side // 2 * 2 for side in x.shape[2:])
    return torch.stack([x[:, :, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]).amax(0)


def non_local(w, x):
    context = halved(x) if w.options["pooled"] else x
    query, key, value = flat(w.mix("query", x)), flat(w.mix("key", context)), flat(w.mix("value", context))
    attended = attend(query, key, value, query.shape[1] ** -0.5).reshape(x.shape[0], -1, *x.shape[2:])
    return x + w.bn("norm", w.mix("project", attended))


def cross_attention(w, x):
    window = w.options["window"]
    rows, columns = (side // window for side in x.shape[2:])
    context = x[:, :, : rows * window, : columns * window].reshape(*x.shape[:2], rows, window, columns, window).mean((3, 5))
    query, key, value = flat(w.mix("query", x)), flat(w.mix("key", context)), flat(w.mix("value", context))
    return x + w.mix("project", headed(query, key, value, w.options["heads"]).reshape(x.shape))


def encoder(w, tokens, name, heads, eps, activation, allowed=None):
    query, key, value = w.mix(f"{name}query_key_value", w.ln(f"{name}attention_norm", tokens, eps)).chunk(3, 1)
    tokens = tokens + w.mix(f"{name}project", headed(query, key, value, heads, allowed))
    hidden = activation(w.mix(f"{name}perceptron.1", w.ln(f"{name}perceptron.0", tokens, eps)))
    return tokens + w.mix(f"{name}perceptron.3", hidden)


def transformer_block(w, x):
    return encoder(w, flat(x), "", w.options["heads"], 1e-6, gelu).reshape(x.shape)


def axial_attention(w, x):
    row, column = places(x)
    for name, allowed in (("columns", same_of(column)), ("rows", same_of(row))):
        query, key, value = triple(w, x, *(f"{name}.{part}" for part in ("query", "key", "value")))
        x = x + w.mix(f"{name}.project", headed(query, key, value, w.options["heads"], allowed)).reshape(x.shape)
    return x


def silu(x):
    return x * sig(x)


def mobilevit(w, x):
    row, column = places(x)
    corner = row % 2 * 2 + column % 2
    maps = w.mix("local.1", silu(w.bn("local.0.1", w.same("local.0.0", x))))
    tokens = flat(maps)
    for layer in range(w.options["depth"]):
        tokens = encoder(w, tokens, f"layers.{layer}.", w.options["heads"], 1e-5, silu, same_of(corner))
    tokens = w.ln(f"layers.{w.options['depth']}", tokens)
    back = silu(w.bn("back.1", w.mix("back.0", tokens.reshape(maps.shape))))
    return silu(w.bn("fuse.1", w.same("fuse.0", torch.cat([x, back], 1))))


def psa(w, x):
    return by_channel(w, x, w.mix) + by_position(w, x, product=True)


def psa_sequential(w, x):
    def gate(name, v):
        hidden = w.mix(f"{name}.0", v)
        centred = hidden - hidden.mean(1, keepdim=True)
        normal = centred / ((centred**2).mean(1, keepdim=True) + 1e-5) ** 0.5
        normal = normal * w[f"{name}.1.weight"].flatten() + w[f"{name}.1.bias"].flatten()
        return w.mix(f"{name}.3", relu(normal))

    return by_position(w, by_channel(w, x, gate), product=False)


def by_channel(w, x, gate):
    weights = softmax(flat(w.mix("channel_query", x)), 2)
    context = (flat(w.mix("channel_value", x)) * weights).sum(2)
    return x * sig(gate("channel_gate", context))[:, :, None, None]


def by_position(w, x, product):
    query, value = mean(w.mix("position_query", x)), flat(w.mix("position_value", x))
    if w.options["form"] == "paper":
        scores = torch.einsum("nc,nci->ni", softmax(query, 1), value)
    elif product:
        scores = softmax(torch.einsum("nc,nci->ni", query, value), 1)
    else:
        scores = torch.einsum("nc,nci->ni", query, softmax(value, 2))
    return x * sig(scores).reshape(x.shape[0], 1, *x.shape[2:])


def sk(w, x):
    groups = w.options["groups"]
    near = relu(w.bn("near.1", w.same("near.0", x, groups=groups)))
    far = relu(w.bn("far.1", w.same("far.0", x, 2, groups=groups)))
    squeezed = relu(w.bn("squeeze.2", w.mix("squeeze.1", mean(near + far))))
    one, two = w.mix("near_weight", squeezed).exp(), w.mix("far_weight", squeezed).exp()
    return (near * one[:, :, None, None] + far * two[:, :, None, None]) / (one + two)[:, :, None, None]


def split(w, x):
    radix = w.options["radix"]
    maps = relu(w.bn("split.1", w.same("split.0", x, groups=radix))).chunk(radix, 1)
    squeezed = relu(w.bn("squeeze.2", w.mix("squeeze.1", mean(sum(maps)))))
    weights = torch.stack(w.mix("weights", squeezed).chunk(radix, 1)).exp()
    return sum(one * gate[:, :, None, None] for one, gate in zip(maps, weights / weights.sum(0), strict=True))


def parnet(w, x):
    normal = w.bn("norm", x)
    gate = sig(w.mix("gate.1", mean(normal)))[:, :, None, None]
    return silu(w.bn("wide.1", w.same("wide.0", x)) + w.bn("narrow.1", w.mix("narrow.0", x)) + normal * gate)


def s2_mlpv2(w, x):
    before, after = lambda n: (torch.arange(n) - 1).clamp(min=0), lambda n: (torch.arange(n) + 1).clamp(max=n - 1)

    def moved(part, axis, index):
        return part.index_select(axis, index(part.shape[axis]))

    maps = list(w.mix("expand", x).chunk(3, 1))
    for number, axes in ((0, (2, 2, 3, 3)), (1, (3, 3, 2, 2))):
        quarters = zip(maps[number].chunk(4, 1), axes, (before, after, before, after), strict=True)
        maps[number] = torch.cat([moved(*quarter) for quarter in quarters], 1)
    summed = sum(maps).sum((2, 3))
    weights = torch.stack(w.mix("weigh", gelu(w.mix("squeeze", summed))).chunk(3, 1))
    weights = softmax(weights, 0)[..., None, None]
    return w.mix("project", sum(one * gate for one, gate in zip(maps, weights, strict=True)))


def deform_conv(w, x):
    height, width = x.shape[2:]
    guide = w.same("guide", x)
    offsets, gates = guide[:, :18], sig(guide[:, 18:])
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    given = w["convolve.bias"][None, :, None, None]
    for tap in range(9):
        down = rows + tap // 3 - 1 + offsets[:, 2 * tap]
        right = columns + tap % 3 - 1 + offsets[:, 2 * tap + 1]
        sampled = torch.zeros_like(x)
        for r in range(height):
            for c in range(width):
                near = (1 - (r - down).abs()).clamp(min=0) * (1 - (c - right).abs()).clamp(min=0)
                sampled = sampled + x[:, :, r : r + 1, c : c + 1] * near[:, None]
        weight = w["convolve.weight"][:, :, tap // 3, tap % 3]
        given = given + torch.einsum("oc,nchw->nohw", weight, sampled * gates[:, tap : tap + 1])
    return given


def involution(w, x):
    kernel, group = w.options["kernel"], w.options["group"]
    weights = w.mix("span", relu(w.bn("reduce.1", w.mix("reduce.0", x))))
    taps = functional.unfold(x, kernel, padding=kernel // 2).reshape(*x.shape[:2], kernel**2, *x.shape[2:])
    weights = weights.reshape(x.shape[0], -1, kernel**2, *x.shape[2:]).repeat_interleave(group, 1)
    return relu(w.bn("norm", (weights * taps).sum(2)))


def axial_position(w, x):
    for name, axis in (("columns", 2), ("rows", 3)):
        lines = x.permute(0, 3, 1, 2) if axis == 2 else x.permute(0, 2, 1, 3)
        shape, heads = lines.shape, w.options["heads"]
        lines = lines.reshape(-1, *shape[2:])
        mixed = w.bn(f"{name}.project_norm", w.mix(f"{name}.project", lines))
        length, width = lines.shape[2], x.shape[1] // heads
        gap = torch.arange(length)[:, None] - torch.arange(length) + length - 1
        apart = w[f"{name}.relative"][:, gap]
        near_query, near_key, near_value = apart[: width // 2], apart[width // 2 : width], apart[width:]
        parts = mixed.reshape(len(lines), heads, 2 * width, length)
        query, key, value = parts[:, :, : width // 2], parts[:, :, width // 2 : width], parts[:, :, width:]
        scores = [
            torch.einsum("bgci,bgcj->bgij", query, key), torch.einsum("bgci,cij->bgij", query, near_query),
            torch.einsum("bgcj,cji->bgij", key, near_key),
        ]  # fmt: skip
        weights = softmax(sum(w.bn(f"{name}.score_norm", torch.cat(scores, 1)).chunk(3, 1)), 3)
        content = torch.einsum("bgij,bgcj->bgci", weights, value)
        place = torch.einsum("bgij,cij->bgci", weights, near_value)
        both = torch.stack([content, place], 3).reshape(len(lines), -1, length)
        given = w.bn(f"{name}.output_norm", both).reshape(len(lines), x.shape[1], 2, length).sum(2).reshape(shape)
        x = given.permute(0, 2, 3, 1) if axis == 2 else given.permute(0, 2, 1, 3)
    return relu(x)


TOKENS = {
    "self_attention": self_attention, "linear_attention": linear_attention, "efficient_attention": efficient_attention,
    "a2": a2, "danet": danet, "criss_cross": criss_cross, "non_local": non_local, "cross_attention": cross_attention,
    "transformer_block": transformer_block, "axial_attention": axial_attention, "mobilevit": mobilevit, "psa": psa,
    "psa_sequential": psa_sequential, "sk": sk, "split": split, "parnet": parnet, "s2_mlpv2": s2_mlpv2,
    "deform_conv": deform_conv, "involution": involution, "axial_position": axial_position,
}  # fmt: skip
