"""Fenced code blocks of Markdown documents."""

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"(?:^<!-- skip: (?P<skip>[^\n]+?) -->\n+)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block; ``output`` is the content of the ``output`` block that follows it."""

    path: Path
    line: int
    language: str
    code: str
    skip: str | None
    output: str | None = None

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"


def read_blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document in their order.

    ``<!-- skip: reason -->`` on the line before a fence marks a block that is not run.
    """
    text = path.read_text(encoding="utf-8")
    blocks: list[Block] = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        block = Block(path, line, match["language"], match["code"], match["skip"])
        if block.language == "output":
            last = blocks.pop()
            block = Block(path, last.line, last.language, last.code, last.skip, block.code)
        blocks.append(block)
    return blocks
