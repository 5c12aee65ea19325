"""The texts of the web page in its two languages."""

import re

from emo_runtime.notes import NOTE_CODES
from helpers.corpora import ROOT

FOLDER = ROOT / "serving" / "emo_serving" / "page"


def keys(language, part):
    """Return the keys of a part of the texts of a language."""
    source = (FOLDER / f"strings-{language}.js").read_text(encoding="utf-8")
    block = re.search(rf"^  {part}: {{\n(.*?)^  }},", source, re.DOTALL | re.MULTILINE)
    return re.findall(r'(\w+): "', block[1])


def test_every_text_exists_in_both_languages():
    for part in ("texts", "labels", "notes"):
        assert keys("en", part) == keys("es", part)
    assert set(keys("es", "notes")) == set(NOTE_CODES)


def test_the_texts_are_used():
    sources = "".join(
        file.read_text(encoding="utf-8")
        for file in FOLDER.iterdir()
        if file.suffix in {".js", ".html"} and not file.name.startswith("strings")
    )
    assert [key for key in keys("en", "texts") if f'"{key}"' not in sources] == []
