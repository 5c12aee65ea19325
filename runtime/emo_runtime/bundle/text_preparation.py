"""The declaration of text preparation in a manifest. ``text.preparation`` applies it."""

from typing import Literal, TypeAlias, get_args

import msgspec

Rule: TypeAlias = Literal["characters", "users", "urls", "repeats", "emoji", "laughter", "hashtags"]
#: All rules, in the order in which they are applied.
RULES: tuple[Rule, ...] = get_args(Rule)


class TextPreparation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to a transcript.

    Attributes:
        strip: Remove white space at both ends.
        lowercase: Convert to lower case, after the rules.
        replace: Rules to apply, always in the order of ``RULES``:

            - ``characters``: typographic quotes become ``"``, ornaments are removed.
            - ``users``: ``@name`` becomes ``@usuario``.
            - ``urls``: web addresses become ``url``.
            - ``repeats``: a character repeated more than three times is repeated three times.
            - ``emoji``: an emoji becomes its Spanish name between two words ``emoji``.
            - ``laughter``: ``jajajaj`` and similar words become ``jaja``.
            - ``hashtags``: ``#MuyBien`` becomes ``muy bien``.
    """

    strip: bool = False
    lowercase: bool = False
    replace: tuple[Rule, ...] = ()
