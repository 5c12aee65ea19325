"""MkDocs hooks: pages made of files outside docs/, their links, and Mermaid from a local file."""

import os
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from command_pages import command_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: Pages whose source is elsewhere in the repository.
PAGES = {
    "models/cards/emo-es.md": "models/emo_models/bundles/emo_es/CARD.md",
    "models/cards/emo-es-research.md": "models/emo_models/bundles/emo_es_research/CARD.md",
    "models/cards/emo-es-small.md": "models/emo_models/bundles/emo_es_small/CARD.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
}
#: The library that draws the diagrams; without it they are shown as their text.
MERMAID = Path(
    os.environ.get("MERMAID", ROOT / "node_modules" / "mermaid" / "dist" / "mermaid.min.js")
)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Draw diagrams if Mermaid is available: the theme would load it from another server."""
    if MERMAID.is_file():
        config.extra_javascript.append("assets/mermaid.min.js")
        config.mdx_configs["pymdownx.superfences"] = {
            "custom_fences": [{"name": "mermaid", "class": "mermaid", "format": _mermaid}]
        }
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, those of the commands, and Mermaid."""
    for name, text in command_pages().items():
        files.append(File.generated(config, f"reference/cli/{name}.md", content=text))
    for uri, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, uri, content=text))
    if MERMAID.is_file():
        files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links between files of the repository into links between pages."""
    source = PAGES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    uris = {path: uri for uri, path in PAGES.items()}

    def replace(match: re.Match[str]) -> str:
        target = normpath(PurePosixPath(source).parent / match[1])
        uri = uris.get(target) or target.removeprefix("docs/")
        return relpath(uri, PurePosixPath(page.file.src_uri).parent)

    return _LINK.sub(replace, markdown)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Declare the language of the Spanish pages."""
    spanish = page.file.src_uri.startswith("es/")
    return output.replace('<html lang="en"', '<html lang="es"', 1) if spanish else output


def _mermaid(source: str, *_: object, **__: object) -> str:
    escaped = source.replace("&", "&amp;").replace("<", "&lt;")
    return f'<pre class="mermaid"><code>{escaped}</code></pre>'
