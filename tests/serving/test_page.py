"""The web page in headless Chromium, whose microphone plays a clip."""

import csv
import subprocess
import sys

import pytest

from emo_runtime import EmotionRecognizer
from emo_serving.settings import BundleSource
from helpers.browser import browser, needs_chromium
from helpers.corpora import CLIPS, ROOT
from helpers.page import Page, until
from helpers.tiny import Tiny, write_bundle

TEXT = "¡Llevo tres semanas esperando una solución!"
CALL = ROOT / "examples" / "call"
TRANSCRIPTS = [CALL / "agent.vtt", CALL / "customer.vtt"]


@pytest.fixture(scope="module")
def driver():
    with browser(CLIPS / "asco.wav") as opened:
        yield opened


@pytest.fixture
def page(driver, server):
    opened = Page(driver, server.url).ready()
    opened.console()
    return opened


def scores_of(answer):
    return list(answer.scores.values())


@needs_chromium
def test_text_and_a_file(page, server, recognizer):
    assert page.text("verdict") == "Nothing to estimate yet"
    assert page.scores() == []

    page.at("text").send_keys(TEXT)
    until(lambda: page.scores() == scores_of(recognizer.recognize(TEXT)))
    assert page.text("reason").endswith("From the words.")

    page.at("file").send_keys(str(CLIPS / "queja.flac"))
    both = recognizer.recognize(TEXT, CLIPS / "queja.flac")
    until(lambda: page.scores() == scores_of(both))
    assert f"{both.duration_s:.1f} s of sound and the words" in page.text("reason")
    page.at("clear").click()
    until(lambda: page.scores() == scores_of(recognizer.recognize(TEXT)))

    script = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    names = page.driver.execute_script(script)
    assert names
    assert all(name.startswith(server.url) for name in names), "only resources of the server"
    assert page.console() == []


@needs_chromium
def test_a_recording_is_answered_while_one_speaks_and_kept(page, recognizer):
    page.at("speak").click()
    until(lambda: page.points() > 3)
    assert page.text("speak") == "Stop"
    page.at("speak").click()
    until(lambda: page.text("sound-name") == "Recording.wav")

    spoken = recognizer.recognize(audio=page.sound())
    until(lambda: page.scores() == scores_of(spoken))
    assert page.points() > 3, "the course is kept"

    until(lambda: page.text("clock") != "0:00")
    page.at("play").click()
    until(lambda: page.at("play").get_attribute("aria-label") == "Pause")
    until(lambda: float(page.at("seek").get_attribute("value")) > 0)
    page.at("play").click()

    page.at("text").send_keys(TEXT)
    until(lambda: page.scores() == scores_of(recognizer.recognize(TEXT, page.sound())))
    assert page.text("error") == ""
    assert page.console() == []


@needs_chromium
def test_a_transcript_that_is_typed_while_one_speaks(page):
    page.at("speak").click()
    until(lambda: "sound." in page.text("reason"))
    page.at("text").send_keys(TEXT)
    until(lambda: "and the words" in page.text("reason"))
    page.at("speak").click()
    until(lambda: page.text("sound-name") == "Recording.wav")
    assert "and the words" in page.text("reason")


@needs_chromium
def test_an_example_at_one_click(page, recognizer):
    with (CLIPS / "clips.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chips = page.all("#clips button")
    assert [chip.get_attribute("title") for chip in chips][:-1] == [row["text"] for row in rows]
    chips[0].click()
    answer = recognizer.recognize(rows[0]["text"], CLIPS / rows[0]["audio"])
    until(lambda: page.scores() == scores_of(answer))
    until(lambda: page.points() > 3)
    wave = page.all("#wave .rest")[0].get_attribute("d")
    assert len({bar.partition("V")[2] for bar in wave.split("M")}) > 20, "bars of many heights"


@needs_chromium
def test_a_call_with_its_transcripts_gives_a_timeline(page, recognizer):
    page.at("file").send_keys("\n".join(map(str, [CALL / "call.flac", *TRANSCRIPTS])))
    cues = [
        {"start_s": row.start_s, "end_s": row.end_s, "text": row.text, "channel": channel}
        for channel, path in enumerate(TRANSCRIPTS)
        for row in read(path)
    ]
    cues.sort(key=lambda cue: cue["start_s"])
    expected = list(recognizer.timeline(CALL / "call.flac", cues))
    until(lambda: len(page.all("#cues button")) == len(expected))
    assert [said.text for said in page.all("#cues .said")] == [cue["text"] for cue in cues]
    assert not page.at("words").is_displayed()
    assert len(page.all("#lanes .lane")) == 2
    for button, moment in zip(page.all("#cues button"), expected, strict=True):
        button.click()
        assert button.get_attribute("aria-current") == "true"
        assert page.scores() == scores_of(moment.answer)
    until(lambda: float(page.at("seek").get_attribute("value")) > 0.8)

    page.at("clear").click()
    until(lambda: not page.at("timeline").is_displayed())
    assert page.text("verdict") == "Nothing to estimate yet"


def read(path):
    import webvtt

    class Row:
        def __init__(self, caption):
            self.start_s = caption.start_in_seconds + caption.start_time.milliseconds / 1e3
            self.end_s = caption.end_in_seconds + caption.end_time.milliseconds / 1e3
            self.text = caption.text

    return [Row(caption) for caption in webvtt.read(path).captions]


@needs_chromium
@pytest.mark.parametrize("is_call", [False, True], ids=["utterance", "call"])
def test_the_code_runs(page, is_call, tmp_path, recognizer):
    for file in (CLIPS / "queja.flac", CALL / "call.flac", *TRANSCRIPTS):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if is_call:
        files = [CALL / "call.flac", *TRANSCRIPTS]
        page.at("file").send_keys("\n".join(map(str, files)))
        until(lambda: page.all("#cues button"))
        first = page.all("#cues .label")[0].text
        expected = first.split()[0].lower()
    else:
        page.at("file").send_keys(str(CLIPS / "queja.flac"))
        text = "¡\"No\" 'puedo' $HOME más!"
        page.at("text").send_keys(text)
        answer = recognizer.recognize(text, CLIPS / "queja.flac")
        until(lambda: page.scores() == scores_of(answer))
        expected = answer.label
    curl, over_http, library = (
        block.get_attribute("textContent") for block in page.all("#snippets code")
    )
    bundle = str(ROOT / "models" / "emo_models" / "bundles" / "emo_es_small")
    library = library.replace('"emo-es-small"', repr(bundle))
    for command in (
        ["sh", "-c", curl],
        [sys.executable, "-c", over_http],
        [sys.executable, "-c", library],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
        if not is_call:
            assert str(answer.confidence)[:12] in done.stdout


def test_the_page_has_only_the_servers_resources(client):
    reply = client.get("/")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    parts = [path for path in (ROOT / "serving/emo_serving/page").iterdir() if path.is_file()]
    assert len(parts) > 20
    for part in parts:
        reply = client.get(f"/page/{part.name}")
        assert reply.status_code == 200
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-cache"
        assert "//" not in reply.text.replace("// ", "").replace(
            "http://www.w3.org/2000/svg", ""
        ), "no address of another server"


def test_the_examples_are_served(client):
    examples = client.get("/page/examples.json").json()
    for clip in examples["clips"]:
        reply = client.get(f"/page/{clip['file']}")
        assert reply.content == (ROOT / "examples" / clip["file"]).read_bytes()
    call = examples["call"]
    for name in (call["audio"], *call["transcripts"]):
        assert client.get(f"/page/{name}").content == (ROOT / "examples" / name).read_bytes()


@pytest.mark.parametrize(
    "path", ["/page/../app.py", "/page/%2e%2e/app.py", "/page/nothing", "/page/clips/../../app.py"]
)
def test_other_files_are_not_served(client, path):
    assert client.get(path).status_code == 404


@needs_chromium
def test_a_model_is_chosen_if_there_are_several(driver, serving, tmp_path):
    words = "hola estoy muy contenta con el resultado"
    expected = {}
    for seed, name in enumerate("ab"):
        at = write_bundle(tmp_path / name, Tiny(seed=seed))
        with EmotionRecognizer.open(at, self_test=False) as recognizer:
            expected[name] = scores_of(recognizer.recognize(words))
    sources = tuple(BundleSource(str(tmp_path / name), name) for name in "ab")
    started = serving(bundles=sources)
    page = Page(driver, started.url).ready()
    page.at("text").send_keys(words)
    until(lambda: page.scores() == expected["a"])
    page.at("bundle").send_keys("b")
    until(lambda: page.scores() == expected["b"])
    assert "?bundle=b" in page.at("code").get_attribute("textContent")
    assert page.small_targets() == []
    page = Page(driver, started.url).ready()  # remembered for the tab
    page.at("text").send_keys(words)
    until(lambda: page.scores() == expected["b"])
    page.at("bundle").send_keys("a")
    until(lambda: page.scores() == expected["a"])
    assert page.console() == []
