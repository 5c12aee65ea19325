"""States of the web page in which something is missing: token, server, microphone, HTTPS."""

import pytest

from emo_serving.tokens import Token
from helpers.browser import browser, needs_chromium
from helpers.certificates import write_certificate
from helpers.corpora import CLIPS
from helpers.page import AXE, Page, until
from helpers.servers import running_server

TEXT = "hola estoy muy contenta con el resultado"
PLAIN = "plain.example"
ARGUMENTS = (f"--host-resolver-rules=MAP {PLAIN} 127.0.0.1", "--ignore-certificate-errors")
_REFUSE_MICROPHONE = """
navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", arguments[0]));
"""


@pytest.fixture(scope="module")
def driver():
    with browser(CLIPS / "asco.wav", arguments=ARGUMENTS) as opened:
        yield opened


def accessible(page):
    """True if axe-core, where it is installed, finds nothing."""
    return not AXE.is_file() or page.violations() == []


def focused(page):
    return page.driver.switch_to.active_element.get_attribute("id")


@needs_chromium
def test_a_token_is_asked_for_and_remembered_for_the_tab(driver, serving):
    running = serving(tokens=(Token("s3creto/n", "one"),))
    page = Page(driver, running.url)
    until(lambda: page.at("token-form").is_displayed())
    assert focused(page) == "token"
    assert page.text("token-error") == "", "nothing is wrong yet"
    assert not page.at("work").is_displayed()
    assert accessible(page)

    page.at("token").send_keys("wrong ñ\n")
    until(lambda: page.text("token-error") == "The server does not accept this token.")
    assert focused(page) == "token"
    assert accessible(page)
    page.at("token").send_keys("s3creto/n\n")  # the wrong one is selected, and replaced
    page.ready()
    assert not page.at("token-form").is_displayed()
    page.at("text").send_keys(TEXT)
    until(page.scores)
    page.at("speak").click()
    until(lambda: page.points() > 2)  # the live call has the token too
    page.at("speak").click()
    until(lambda: page.text("sound-name") == "Recording.wav")
    driver.refresh()
    page.ready()
    driver.execute_script("sessionStorage.clear()")


@needs_chromium
def test_a_server_that_is_gone_and_back(driver, serving):
    first = serving()
    page = Page(driver, first.url).ready()
    page.at("speak").click()
    until(lambda: page.points() > 2)
    first.stop()
    first.join()
    page.at("speak").click()
    until(lambda: "The server does not respond." in page.text("error-title"))
    assert page.text("sound-name") == "Recording.wav", "the recording is kept"
    assert page.text("verdict") == "Nothing to estimate yet"
    assert page.at("answer").get_attribute("aria-busy") is None
    assert accessible(page)

    with running_server("--threads", "1", "--port", str(first.address[1])):
        page.at("retry").click()
        until(page.scores)
        assert not page.at("error").is_displayed()


@needs_chromium
@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("NotAllowedError", "The microphone is not allowed."),
        ("NotFoundError", "No microphone was found."),
        ("NotReadableError", "The microphone can't be used"),
    ],
)
def test_a_microphone_that_can_not_be_used(driver, server, error, message):
    page = Page(driver, server.url).ready()
    driver.execute_script(_REFUSE_MICROPHONE, error)
    page.at("speak").click()
    until(lambda: page.text("error-title").startswith(message))
    assert page.text("speak") == "Record"
    assert page.text("verdict") == "Nothing to estimate yet"
    assert not page.at("retry").is_displayed()
    assert accessible(page)
    page.at("text").send_keys(TEXT)
    until(page.scores)
    assert not page.at("error").is_displayed()


@needs_chromium
def test_plain_http_has_no_microphone_but_everything_else(driver, serving):
    running = serving(allowed_hosts=(PLAIN,))
    page = Page(driver, running.url.replace("127.0.0.1", PLAIN)).ready()
    assert "only on HTTPS pages" in page.text("microphone-hint")
    assert not page.at("speak").is_enabled()
    assert accessible(page)
    page.at("file").send_keys(str(CLIPS / "queja.flac"))
    until(page.scores)
    until(lambda: page.points() > 3)
    page.at("code").find_element("tag name", "summary").click()
    page.all("#snippets button")[0].click()
    until(lambda: "Copied" in page.text("snippets"))


@needs_chromium
def test_https(driver, tmp_path):
    certificate, key = map(str, write_certificate(tmp_path))
    with running_server("--threads", "1", "--tls-cert", certificate, "--tls-key", key) as server:
        page = Page(driver, server.url.replace("http:", "https:")).ready()
        page.at("speak").click()
        until(lambda: page.points() > 2)
        page.at("speak").click()
        until(lambda: page.text("sound-name") == "Recording.wav")
        until(page.scores)
        assert page.text("error-title") == ""
