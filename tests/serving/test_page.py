"""The web page in headless Chromium, whose microphone plays a clip."""

import time

import pytest

from helpers.browser import browser, needs_chromium
from helpers.corpora import CLIPS
from helpers.servers import running_server

TEXT = "¡Llevo tres semanas esperando una solución!"
EMPTY = "No answer yet."


def until(condition, seconds=300):
    """Wait for the condition's first true value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("the condition was never true")


class Page:
    def __init__(self, driver, url):
        self.driver = driver
        driver.get(url)

    def at(self, name):
        return self.driver.find_element("id", name)

    def text(self, name):
        return self.at(name).text

    def percents(self):
        cells = self.driver.find_elements("css selector", ".bars .number")
        return [cell.text for cell in cells]

    def console(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


def percents_of(answer):
    return [f"{100 * score:.1f}%" for score in answer.scores.values()]


@needs_chromium
def test_the_page(server, recognizer):
    clip = CLIPS / "queja.flac"
    with browser(CLIPS / "asco.wav") as driver:
        page = Page(driver, server.url)
        until(lambda: "emo-es-small" in page.text("where"))
        assert page.text("verdict") == EMPTY
        assert page.percents() == ["–"] * 6

        page.at("text").send_keys(TEXT)
        until(lambda: page.percents() == percents_of(recognizer.recognize(TEXT)))

        page.at("file").send_keys(str(clip))
        both = recognizer.recognize(TEXT, clip)
        until(lambda: page.percents() == percents_of(both))
        assert page.text("verdict").startswith(f"{both.label} task fusion, 3.5 s of sound")
        assert "Round trip" in page.text("times")
        page.at("clear").click()
        until(lambda: page.percents() == percents_of(recognizer.recognize(TEXT)))

        page.at("text").clear()
        page.at("speak").click()
        until(lambda: "task audio" in page.text("verdict"))
        first = page.percents()
        until(lambda: page.percents() != first)
        page.at("text").send_keys(TEXT)
        until(lambda: "task fusion" in page.text("verdict"))
        page.at("speak").click()
        until(lambda: page.text("speak") == "Speak")
        assert page.text("error") == ""

        names = driver.execute_script(
            "return performance.getEntriesByType('resource').map(entry => entry.name)"
        )
        assert names
        assert all(name.startswith(server.url) for name in names), "only resources of the server"
        assert page.console() == []


@needs_chromium
def test_an_unreadable_file_is_reported_and_its_name_is_not_run(server, tmp_path):
    wrong = tmp_path / "<img src=x onerror=alert(1)>.wav"
    wrong.write_bytes(b"not a sound")
    with browser(CLIPS / "asco.wav", dark=True, size=(390, 844)) as driver:
        page = Page(driver, server.url)
        page.at("file").send_keys(str(wrong))
        until(lambda: "not a supported sound file" in page.text("error"))
        assert page.text("sound-name") == wrong.name
        width = driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= 390, "the page fits a telephone"
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert max(map(int, ground[4:-1].split(", "))) < 60, "dark where dark is preferred"


@needs_chromium
def test_the_page_asks_for_a_token():
    with (
        running_server(EMO_SERVE_TOKEN="s3=c/r+to") as server,
        browser(CLIPS / "asco.wav") as driver,
    ):
        page = Page(driver, server.url)
        until(lambda: page.at("token-form").is_displayed())
        page.at("token").send_keys("s3=c/r+to\n")
        until(lambda: "emo-es-small" in page.text("where"))
        assert not page.at("token-form").is_displayed()
        page.at("speak").click()
        until(lambda: "task audio" in page.text("verdict"))


def test_the_page_has_only_the_servers_resources(client):
    reply = client.get("/")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for part in ("page.css", "page.js", "call.js", "show.js", "collector.js", "icon.svg"):
        reply = client.get(f"/page/{part}")
        assert reply.status_code == 200
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "//" not in reply.text.replace("// ", "").replace(
            "http://www.w3.org/2000/svg", ""
        ), "no address of another server"


@pytest.mark.parametrize("path", ["/page/../app.py", "/page/%2e%2e/app.py", "/page/nothing"])
def test_other_files_are_not_served(client, path):
    assert client.get(path).status_code == 404
