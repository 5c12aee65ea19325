"""The tests of a module are found by its name, or in the table ``tests/tested_elsewhere.toml``."""

import ast
import tomllib
from pathlib import Path

import pytest

from helpers.corpora import ROOT

PACKAGES = {
    "runtime/emo_runtime": "tests/runtime",
    "models/emo_models": "tests/models",
    "export/emo_export": "tests/export",
    "benchmarks/emo_bench": "tests/benchmarks",
    "serving/emo_serving": "tests/serving",
    "benchmarks/studies": "tests/benchmarks/studies",
}
ELSEWHERE = tomllib.loads((ROOT / "tests" / "tested_elsewhere.toml").read_text(encoding="utf-8"))


def own_test_file(module: str) -> Path:
    """Return ``tests/<root>/<package>/test_<module>.py``."""
    package = next(package for package in PACKAGES if module.startswith(f"{package}/"))
    place = Path(module).relative_to(package)
    return ROOT / PACKAGES[package] / place.with_name(f"test_{place.name}")


def is_code(path: Path) -> bool:
    """False for modules with nothing but a docstring, imports and constants."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If)
               for item in body)  # fmt: skip


MODULES = sorted(
    str(path.relative_to(ROOT))
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py" or is_code(path)
)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_tests_under_its_name_or_an_entry_in_the_table(module):
    tested_by = ELSEWHERE["modules"].get(module, ELSEWHERE["scripts"].get(module))
    if own_test_file(module).is_file():
        assert tested_by is None, f"{module} has a test file of its own: remove it from the table"
    else:
        assert tested_by is not None, (
            f"{module} has no test file. Write {own_test_file(module).relative_to(ROOT)}, or name "
            "the file that tests it in tests/tested_elsewhere.toml."
        )


def test_the_table_names_modules_and_test_files_that_exist():
    entries = ELSEWHERE["modules"] | ELSEWHERE["scripts"]
    assert not set(entries) - set(MODULES)
    for module, test_file in ELSEWHERE["modules"].items():
        assert Path(test_file).name.startswith("test_"), module
        assert (ROOT / test_file).is_file(), f"{module}: {test_file} does not exist"
    assert all(reason.strip() for reason in ELSEWHERE["scripts"].values())
