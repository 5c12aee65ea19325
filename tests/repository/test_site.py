"""The documentation as a site: built strictly, complete, and without other servers."""

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
from mkdocs.config.defaults import MkDocsConfig

import emo_runtime
import emo_serving
from emo_runtime.errors import EmoError
from emo_runtime.notes import NOTE_CODES
from emo_serving import errors as server_errors
from emo_serving.client import __all__ as client_names
from helpers.corpora import ROOT
from helpers.processes import environment

DOCS = ROOT / "docs"
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    mermaid = folder.with_suffix(".js")
    mermaid.write_text("/* a stand-in for Mermaid */", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=environment(NO_MKDOCS_2_WARNING="1", MERMAID=str(mermaid), PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Resources(HTMLParser):
    """Collects what a browser loads with a page, and the text of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.text: list[str] = []
        self.prose: list[str] = []
        self._in_code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._in_code += tag in {"pre", "script"}
        if tag in {"script", "img", "iframe", "source"}:
            self.loaded.append(values.get("src") or "")
        elif tag == "link" and values.get("rel") in {"stylesheet", "preconnect", "icon"}:
            self.loaded.append(values.get("href") or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if not self._in_code:
            self.prose.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag in {"pre", "script"}


def read(page: Path) -> Resources:
    found = Resources()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_pages_load_nothing_from_other_servers(site):
    for page in site.rglob("*.html"):
        for address in read(page).loaded:
            assert not re.match(r"(\w+:)?//", address), f"{page.name}: {address}"
        # The theme loads Mermaid from another server if the page has a diagram and no Mermaid.
        if 'class="mermaid"' in page.read_text(encoding="utf-8"):
            assert any(address.endswith("assets/mermaid.min.js") for address in read(page).loaded)
    assert 'class="mermaid"' in (site / "index.html").read_text(encoding="utf-8")


def test_without_mermaid_diagrams_are_shown_as_text(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(DOCS)
    hooks = importlib.import_module("site_hooks")
    for path, drawn in ((tmp_path / "missing.js", False), (DOCS / "site.css", True)):
        monkeypatch.setattr(hooks, "MERMAID", path)
        config = MkDocsConfig()
        config.mdx_configs, config.extra_javascript = {}, []
        hooks.on_config(config)
        assert bool(config.mdx_configs) is drawn
        assert bool(config.extra_javascript) is drawn


def test_lists_and_tables_are_recognized(site):
    """Python-Markdown needs an empty line before a list or a table, and four spaces in a list."""
    for page in site.rglob("*.html"):
        for text in read(page).prose:
            assert not re.search(r"\S\n(?:- |\d+\. |\| )", text), f"{page.name}: {text[:300]}"


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_page_of_a_command_has_every_option(site, script):
    text = "".join(read(site / "reference" / "cli" / f"{script}.html").text)
    command = pkgutil.resolve_name(SCRIPTS[script])

    def check(command: click.Command) -> None:
        assert command.help
        assert " ".join(command.help.split("\n\n")[0].split())[:60] in text
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(name in text for name in parameter.opts)
                assert (parameter.help or "").split(". ")[0] in text
        if isinstance(command, click.Group):
            for subcommand in command.commands.values():
                check(subcommand)

    check(command)


def test_pages_declare_their_language(site):
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        language = "es" if page.parent == site / "es" else "en"
        assert f'<html lang="{language}"' in html
        assert 'es/index.html"' in html or page.parent == site / "es"


def test_every_public_name_has_a_reference():
    described = set(
        re.findall(r"^::: (\S+)$", (DOCS / "reference" / "api.md").read_text("utf-8"), re.MULTILINE)
    )
    public = {f"emo_runtime.{name}" for name in emo_runtime.__all__ if name != "__version__"}
    assert public <= described
    assert {f"emo_serving.client.{name}" for name in client_names} <= described
    for name in described:
        assert pkgutil.resolve_name(name) is not None


def codes_of(page: str) -> set[str]:
    """Return the names in code style in the first column of the tables of a page."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("|")]
    return {code for cell in cells for code in re.findall(r"`(\w+)`", cell)}


def test_every_note_has_a_row():
    assert set(NOTE_CODES) <= codes_of("integrate/notes-and-errors.md")
    assert set(NOTE_CODES) <= codes_of("integrate/sound.md")


def test_every_error_has_a_row():
    documented = codes_of("integrate/notes-and-errors.md")
    for package in (emo_runtime, emo_serving):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(("emo_serving.batch.", "emo_serving.on_ray.")):
                importlib.import_module(module.name)
    unknown = [
        kind.__name__
        for kind in subclasses(EmoError)
        if kind.__module__.startswith(("emo_runtime.", "emo_serving."))
        and kind.__name__ not in documented
    ]
    assert unknown == []


def test_the_status_of_an_error_is_the_documented_one():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (DOCS / "integrate/notes-and-errors.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    documented = {
        row[0].strip("`"): int(cell) for row in rows for cell in row[1:] if cell.isdecimal()
    }
    kinds = {kind.__name__: kind for kind in subclasses(EmoError)}
    assert len(documented) >= 15
    for name, status in documented.items():
        assert server_errors.status_of(kinds[name]()) == status, name


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


def test_every_metric_has_a_row():
    """Names of metrics are the string literals "emo_..."; a counter may be named without _total."""
    literals = {
        name
        for package in ("runtime/emo_runtime", "serving/emo_serving")
        for module in (ROOT / package).rglob("*.py")
        for name in re.findall(r'"(emo_[a-z_]+)"', module.read_text(encoding="utf-8"))
    } - {"emo_runtime", "emo_serving"}
    assert len(literals) > 20
    documented = {name for name in codes_of("operate/metrics.md") if name.startswith("emo_")}
    known = documented | {name.removesuffix("_total") for name in documented}
    assert literals <= known
    assert documented <= literals | {f"{name}_total" for name in literals}


def test_mentioned_pages_exist():
    """A page that a message, a docstring or another document names by its path exists."""
    folders = ("runtime", "models", "export", "benchmarks", "serving", "tests", "docs")
    sources = [*ROOT.glob("*.md"), ROOT / "Makefile"]
    for folder in folders:
        sources += [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")]
    for source in sources:
        text = source.read_text(encoding="utf-8")
        for page in re.findall(r"(?<![\w/.-])docs/[\w/-]+\.(?:md|json)\b", text):
            assert (ROOT / page).is_file(), f"{source.relative_to(ROOT)}: {page} does not exist"
