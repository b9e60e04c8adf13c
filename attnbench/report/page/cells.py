"""What tables' texts look like on a page: figures apart from their intervals, verdicts as chips, the rest as it is."""

import re
from functools import cache

from markupsafe import Markup, escape

NUMBER = re.compile(r"([+−-]?[\d,]+(?:\.\d+)?)(?: (\[[^\]]+\]))?(?: (?:%|ms|s|MB|GB|kB|B|points))?(?: \([^)]*%\))?")
INTERVAL = re.compile(r"([+−-]?[\d,.]+ )(\[[^\]]+\])((?: .{1,40})?)")
JOINT = re.compile(r"(?<=[=+])(?=\S)|(?<=[,.])(?=[A-Za-z_])")
"""Where a long name may be broken: between its parts."""
SHORT = 30
"""Letters of a cell that stays in one line."""
SAID = ("NPU", "measured")
"""Columns in which a target's name may stand before what it says."""
BLANK = ("–", "", "skipped", "refused", "failed", "not attributed")

TONES = {
    "good": ("confirmed", "ok", "better", "agree", "supported", "fit"),
    "fair": ("ok with constraint", "with constraint", "constrained", "efficiency", "inefficient"),
    "open": ("unknown", "not resolvable", "skipped", "incomparable", "not attributed", "too blunt"),
    "poor": ("fallback", "disagree"),
    "bad": ("refuted", "refused", "failed", "worse"),
}
WORDS = {word: tone for tone, words in TONES.items() for word in words}
_VERDICT = re.compile(
    rf"([\w.-]+: )?({'|'.join(sorted(map(re.escape, WORDS), key=len, reverse=True))})"
    r"((?: to \S+)?(?: \d+(?:/\d+)?)?(?: \([^)]*\))?)"
)


@cache
def cell(text: str, column: str = "") -> Markup:
    """A cell's text, escaped: verdicts as chips, the interval of a figure quieter than the figure.

    Of the column ``status`` what is ok is no verdict. Names may break where their parts meet.
    """
    if column == "status" and text == "ok":
        return escape(text)
    if number := INTERVAL.fullmatch(text):
        figure, interval, rest = number.groups()
        return Markup('{}<span class="ci">{}</span>{}').format(figure, interval, rest)
    parts = re.split(r"(; |, )", text)
    chips = [_VERDICT.fullmatch(part) for part in parts[::2]]
    if chips and all(chips) and (column in SAID or not any(found[1] for found in chips if found)):
        chip = Markup('<span class="v">{}<span class="chip {}">{}</span>{}</span>')
        return Markup(" ").join(
            chip.format(found[1] or "", WORDS[found[2]], *found.groups()[1:]) for found in chips if found
        )
    if "; " in text and all(len(part) <= SHORT for part in text.split("; ")):
        return Markup("; ").join(Markup('<span class="v">{}</span>').format(part) for part in text.split("; "))
    return escape(text) if len(text) <= SHORT else Markup("<wbr>").join(JOINT.split(text))


def numeric(column: list[str]) -> bool:
    """Whether a column's cells are figures, which stand right-aligned."""
    told = [text for text in column if text not in BLANK]
    return bool(told) and all(NUMBER.fullmatch(text) for text in told)


def kind(text: str) -> str:
    """How a cell of words is set: a short one in one line, a long one wide."""
    return "w" if len(text) > 60 else "k" if len(text) <= SHORT and ";" not in text else ""


def prose(text: str) -> Markup:
    """A sentence, escaped, with what stands between ``**`` and ``*`` marked."""
    marked = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text)))
    return Markup(re.sub(r"(?<![\w*])\*([^*\s][^*]*?)\*(?!\w)", r"<em>\1</em>", marked))  # noqa: S704  escaped before
