"""Languages, errors, uncertain answers and small screens of the web page."""

import pytest

from helpers.browser import browser, needs_chromium
from helpers.corpora import CLIPS
from helpers.page import Page, until

TEXT = "hola estoy muy contenta con el resultado"
PHONE = (390, 844)
MANY = [f"label {number}" for number in range(28)]


@pytest.fixture(scope="module")
def driver():
    with browser(CLIPS / "asco.wav") as opened:
        yield opened


@needs_chromium
def test_the_browsers_language_is_used_and_can_be_changed(server):
    with browser(CLIPS / "asco.wav", language="es-MX") as driver:
        page = Page(driver, server.url).ready()
        assert driver.title == "Emoción en el habla"
        assert driver.execute_script("return document.documentElement.lang") == "es"
        page.at("text").send_keys("¡Qué vergüenza!")
        until(page.scores)
        assert page.all("#scores .name")[0].text == "Enfado"
        shown = page.scores()
        page.at("language").click()
        assert driver.title == "Emotion in speech"
        assert page.all("#scores .name")[0].text == "Anger"
        assert page.scores() == shown
        driver.refresh()
        page.ready()
        assert driver.title == "Emotion in speech", "the choice is kept for the tab"


@needs_chromium
def test_an_unreadable_file_is_reported_and_its_name_is_not_run(driver, server, tmp_path):
    wrong = tmp_path / "<img src=x onerror=alert(1)>.wav"
    wrong.write_bytes(b"not a sound")
    page = Page(driver, server.url).ready()
    page.at("text").send_keys(TEXT)
    until(page.scores)
    page.at("file").send_keys(str(wrong))
    until(lambda: page.text("error-title") == "This sound can't be used.")
    assert "not a supported sound file" in page.text("error-detail")
    assert page.text("sound-name") == wrong.name
    assert page.scores() == [], "no old answer beside an error"
    assert page.text("verdict") == "Nothing to estimate yet"
    page.at("clear").click()
    until(page.scores)
    assert not page.at("error").is_displayed()


@needs_chromium
def test_uncertain_answers_look_uncertain(driver, server):
    page = Page(driver, server.url).ready()

    def shown(scores, notes=()):
        answer = {
            "task": "audio",
            "scores": scores,
            "confidence": max(scores.values()),
            "notes": [{"code": code, "message": "its message"} for code in notes],
            "duration_s": 2,
        }
        code = "module.showLabels(Object.keys(input.scores)), module.showAnswer(input)"
        page.module("answer.js", code, answer)
        uncertain = "uncertain" in page.at("answer").get_attribute("class")
        return page.text("verdict"), page.text("share"), uncertain

    assert shown({"anger": 0.8, "joy": 0.2}) == ("Anger", "80%", False)
    assert shown({"anger": 0.55, "joy": 0.45}) == ("Not clear", "", True)
    assert page.text("reason").startswith("Between anger and joy.")
    assert shown({"anger": 0.8, "joy": 0.2}, ["silent"]) == ("Not clear", "", True)
    assert page.text("notes") == "There is no speech in the sound."
    assert shown({"anger": 0.8, "joy": 0.2}, ["of_a_newer_server"]) == ("Anger", "80%", False)
    assert page.text("notes") == "its message"
    assert shown({"anger": 0.8, "joy": 0.7, "fear": 0.1}) == ("Anger, Joy", "80%", False)
    assert shown({"anger": 0.3, "joy": 0.2, "fear": 0.1}) == ("None of the labels", "", True)
    many = {name: 0.6 if name == MANY[3] else 0.4 / 27 for name in MANY}
    assert shown(many) == (MANY[3], "60%", False)
    assert len(page.all("#scores li")) == 28


@needs_chromium
def test_it_fits_a_phone_in_the_dark(server):
    with browser(CLIPS / "asco.wav", dark=True, size=PHONE) as driver:
        page = Page(driver, server.url).ready()
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert max(map(int, ground[4:-1].split(", "))) < 60, "dark where dark is preferred"
        page.all("#clips button")[-1].click()
        until(lambda: page.all("#cues button"))
        for part in ("code", "details"):
            page.at(part).find_element("tag name", "summary").click()
        assert page.small_targets() == []
        width = driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= PHONE[0]
