"""The web page in a browser, as its tests use it."""

import base64
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from helpers.corpora import ROOT

Value = TypeVar("Value")

AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))

needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason=f"axe-core is not at {AXE}: npm install --no-save axe-core"
)
# Everything that a finger must hit, with its size.
_SMALL_TARGETS = """
const kinds = "button, .button, select, summary, textarea, input:not([type=file])";
return [...document.querySelectorAll(kinds)]
  .filter((target) => target.offsetParent)
  .map((target) => [target.id || target.textContent, target.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < 44 || height < 44)
  .map(([name]) => name);
"""
_AXE = """
const done = arguments[0];
axe.run(document).then(({ violations }) => done(violations.map(({ id, nodes }) =>
  [id, nodes.map((node) => node.html)])));
"""
# In one command: the page may replace the line between two.
_FIRST_LINE = 'return document.querySelector("#scores .line").getAttribute("d");'
# The page's policy forbids eval: the code is part of the script.
_IMPORT = """
const [path, input, done] = arguments;
import(path).then((module) => (CODE)).then(done, (error) => done(String(error)));
"""


def until(condition: Callable[[], Value], seconds: float = 300) -> Value:
    """Wait for the condition's first true value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("the condition was never true")


class Page:
    """The page of a server, once it has loaded."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        driver.get(url)

    def at(self, name: str) -> Any:
        """Return the element with this id."""
        return self.driver.find_element("id", name)

    def all(self, selector: str) -> list[Any]:
        """Return the elements of a CSS selector."""
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def text(self, name: str) -> str:
        """Return the visible text of the element with this id."""
        return str(self.at(name).text)

    def ready(self) -> "Page":
        """Wait until the page knows the server's bundle."""
        until(lambda: self.at("work").is_displayed())
        return self

    def scores(self) -> list[float]:
        """Return the probabilities that are shown, or an empty list."""
        found = "[...document.querySelectorAll('#scores .number')].map(cell => cell.dataset.score)"
        return [float(cell) for cell in self.driver.execute_script(f"return {found}") if cell]

    def points(self) -> int:
        """Return the number of points of the first course."""
        if not self.at("axis").is_displayed():
            return 0
        line = self.driver.execute_script(_FIRST_LINE)
        return 1 + str(line).count("L")

    def sound(self) -> bytes:
        """Return the file that the page holds."""
        text = self.module(
            "inputs.js",
            "new Promise((done) => { const reader = new FileReader(); "
            "reader.onload = () => done(reader.result); "
            "reader.readAsDataURL(module.inputs.sound); })",
        )
        return base64.b64decode(text.partition(",")[2])

    def module(self, name: str, code: str, value: object = None) -> Any:
        """Return the value of ``code``, in which ``module`` is one of the page's modules."""
        script = _IMPORT.replace("CODE", code)
        return self.driver.execute_async_script(script, f"/page/{name}", value)

    def small_targets(self) -> list[str]:
        """Return the controls that are smaller than 44 by 44 pixels."""
        found: list[str] = self.driver.execute_script(_SMALL_TARGETS)
        return found

    def violations(self) -> list[Any]:
        """Return what axe-core finds."""
        self.driver.execute_script(AXE.read_text(encoding="utf-8"))
        found: list[Any] = self.driver.execute_async_script(_AXE)
        return found

    def console(self) -> list[str]:
        """Return the messages of the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
