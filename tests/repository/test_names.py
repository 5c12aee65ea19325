"""Names in configuration files resolve: entry points, ``python -m`` targets, dotted paths."""

import importlib
import importlib.util
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from helpers.corpora import ROOT

# Of ray, which uses pydantic in an old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Using extra keyword arguments on:DeprecationWarning"
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENTRY_POINTS = {
    f"{group}: {name}": target
    for group, names in [
        ("scripts", PROJECT["project"]["scripts"]),
        *PROJECT["project"]["entry-points"].items(),
    ]
    for name, target in names.items()
}
PACKAGES = (
    "emo_runtime",
    "emo_models",
    "emo_export",
    "emo_bench",
    "emo_serving",
    "emo_integrations",
    "studies",
)
DOTTED = re.compile(rf"\b(?:{'|'.join(PACKAGES)})(?:\.\w+)+(?::\w+)?")
# Files in which a dotted name is the name of a module or of an attribute of one.
FILES = [
    ROOT / "Makefile",
    ROOT / ".importlinter",
    *sorted((ROOT / "serving").rglob("*.yaml")),
    *sorted((ROOT / "serving" / "deploy").glob("Dockerfile*")),
    *sorted((ROOT / ".github").rglob("*.yml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "RELEASE.md",
]


def resolve(name: str) -> object:
    """Return the module or attribute ``package.module``, ``module.attribute``, ``module:attr``."""
    found = pkgutil.resolve_name(name)
    assert found is not None
    return found


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_an_entry_point_resolves(entry_point):
    target = ENTRY_POINTS[entry_point]
    if entry_point.startswith("emo_runtime.bundles"):
        # A dotted path to a directory, which is found without an import.
        package, *folders = target.split(".")
        [base] = importlib.util.find_spec(package).submodule_search_locations
        assert Path(base, *folders, "manifest.json").is_file()
    else:
        assert callable(resolve(target))


def dotted_names():
    for path in FILES:
        if path.is_file():
            for name in sorted(set(DOTTED.findall(path.read_text(encoding="utf-8")))):
                yield pytest.param(name, id=f"{path.relative_to(ROOT)}:{name}")


@pytest.mark.parametrize("name", list(dotted_names()))
def test_a_dotted_name_in_a_configuration_file_resolves(name):
    if name in PROJECT["project"]["entry-points"] or name.endswith((".toml", ".json", ".yaml")):
        return  # the name of an entry-point group
    if name.startswith("emo_integrations."):  # their frameworks are not installed
        module, _, attribute = name.removeprefix("emo_integrations.").partition(".")
        source = Path(importlib.util.find_spec(f"emo_integrations.{module}").origin).read_text()
        assert not attribute or f"\nclass {attribute}(" in source
    elif name.startswith("studies."):
        assert importlib.util.find_spec(name.partition(":")[0]) is not None
    else:
        resolve(name)


@pytest.mark.parametrize("file", ["Makefile", "docs", "README.md"])
def test_modules_started_with_python_m_have_a_main_block(file):
    path = ROOT / file
    pages = sorted(path.rglob("*.md")) if path.is_dir() else [path]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for module in sorted(set(re.findall(r"-m ((?:emo_\w+|studies)\.[\w.]+\w)", text))):
        source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
        assert 'if __name__ == "__main__":' in source, module


def test_configuration_keys_that_name_packages():
    tools = PROJECT["tool"]
    data = tools["setuptools"]["package-data"]
    assert set(data) == set(PACKAGES) - {"studies"}
    checked = {Path(folder).name for folder in tools["mypy"]["files"]}
    assert checked == set(PACKAGES) | {"tests"}
    for pattern in tools["ruff"]["lint"]["per-file-ignores"]:
        assert list(ROOT.glob(pattern.replace("/**", ""))), f"{pattern} matches no file"


def test_paths_in_ray_and_deployment_files_resolve():
    config = yaml.safe_load((ROOT / "serving" / "ray_serve.yaml").read_text(encoding="utf-8"))
    for application in config["applications"]:
        assert callable(resolve(application["import_path"]))
