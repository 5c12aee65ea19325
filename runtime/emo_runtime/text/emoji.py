"""Spanish names of emoji."""

import functools
import re
from importlib.resources import files

_VARIATION_SELECTOR = "\ufe0f"
_SKIN_TONES = re.compile("[\U0001f3fb-\U0001f3ff]")


def replace_emoji(text: str) -> str:
    """Replace each emoji by its Spanish name between two words ``emoji``; skin tones are dropped.

    >>> replace_emoji("¡Genial!🤣")
    '¡Genial! emoji cara revolviéndose de la risa emoji '
    """
    if text.isascii():
        return text
    names, longest = _table()
    # A skin tone follows another emoji; alone it is a colour sample and has no name here.
    text = _SKIN_TONES.sub("", text)
    pieces = []
    position = 0
    while position < len(text):
        if text[position] < "\u00a9":
            pieces.append(text[position])
            position += 1
            continue
        for end in range(min(position + longest, len(text)), position, -1):
            name = names.get(text[position:end].replace(_VARIATION_SELECTOR, ""))
            if name is not None:
                pieces.append(f" emoji {name} emoji ")
                position = end
                break
        else:
            pieces.append(text[position])
            position += 1
    return "".join(pieces)


@functools.cache
def _table() -> tuple[dict[str, str], int]:
    """Names by emoji, and the length of the longest emoji with its variation selectors."""
    lines = files("emo_runtime.text").joinpath("emoji_es.tsv").read_text(encoding="utf-8")
    names = dict(line.split("\t") for line in lines.splitlines() if not line.startswith("#"))
    return names, 2 * max(map(len, names))
