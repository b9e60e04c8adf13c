"""How inserted nodes are named: ``@<site>@<position>.<module>@/<node>``.

The name is the one thing that survives ONNX Runtime's optimiser, so it carries where a node stands and what it belongs to.
"""

import re

MARKER_DOMAIN, MARKER_OP = "attnbench", "Site"
"""The node that an export leaves at a site, with the attributes ``site``, ``block_input`` and ``stride``, until a module
or nothing takes its place."""

_INSERTED = re.compile(r"@(?P<site>.+)@(?P<position>\d+)\.(?P<module>.+)@/(?P<node>.*)", re.DOTALL)


def insertion_prefix(site: str, position: int, module: str) -> str:
    """The prefix of all that the module at this position of a site's row brings in."""
    return f"@{site}@{position}.{module}@/"


def is_inserted(node: str) -> bool:
    """Whether a variant inserted the node."""
    return _INSERTED.match(node) is not None


def inserted_site(node: str) -> str:
    """The site a node was inserted at; empty for a node of the host."""
    return _part(node, "site")


def inserted_module(node: str) -> str:
    """The module an inserted node belongs to; empty for a node of the host."""
    return _part(node, "module")


def plain_name(node: str) -> str:
    """The node's name within its module, or as it is for a node of the host."""
    return _part(node, "node", node)


def _part(node: str, part: str, otherwise: str = "") -> str:
    match = _INSERTED.match(node)
    return match[part] if match else otherwise


def display_name(node: str) -> str:
    """The node as a reader should see it: ``node``, or ``module/node at site`` for an inserted one."""
    match = _INSERTED.match(node)
    return f"{match['module']}/{match['node']} at {match['site']}" if match else node


def slug(name: str, filler: str = "-", otherwise: str = "study") -> str:
    """A name as a file or folder may have it: letters, digits, ``_``, ``.`` and ``-``; the filler for others, at no end."""
    return re.sub(r"[^\w.-]+", filler, name).strip(f"{filler}.")[:80] or otherwise


def steers(text: str) -> bool:
    """Whether a terminal or a line of text would obey a part of this: control and format characters."""
    return _STEERING.search(text) is not None or "\n" in text or "\t" in text


def shown(text: str) -> str:
    """Text of many lines as a terminal may have it: the same as ``printable``, but for ends of lines and tabs."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""Control and format characters, and halves of characters, which no terminal can show."""


def printable(text: str) -> str:
    """Text as a terminal may have it: what it would obey instead of showing is written out as an escape."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
