"""The Gradio example: the function, and the running page through Gradio's own client."""

import numpy as np
import pytest
import soundfile

from emo_runtime import EmotionRecognizer
from helpers.corpora import CLIPS, ROOT
from helpers.modules import load_module

gradio = pytest.importorskip("gradio", reason="the example needs Gradio: run `make integrations`")
client = pytest.importorskip("gradio_client", reason="part of Gradio")

pytestmark = pytest.mark.filterwarnings("default")
CLIP = CLIPS / "miedo.flac"


@pytest.fixture(scope="module")
def example():
    module = load_module(ROOT / "examples/integrations/gradio/demo.py")
    yield module
    module.demo.close()
    module.recognizer.close()


def test_the_function(example):
    samples, rate = soundfile.read(CLIP, dtype="int16")
    with EmotionRecognizer.open() as recognizer:
        scores, _ = example.recognize("no puedo más", (rate, samples))
        assert scores == recognizer.recognize("no puedo más", (samples, rate)).scores
        scores, _ = example.recognize(" ", (rate, np.stack([samples, samples], axis=1)))
        assert max(scores, key=scores.get) == recognizer.recognize(audio=(samples, rate)).label
    with pytest.raises(gradio.Error, match="text"):
        example.recognize("", None)


def test_the_page(example):
    _, url, _ = example.demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    caller = client.Client(url, verbose=False)
    try:
        label, _ = caller.predict(
            "no puedo más", client.handle_file(str(CLIP)), api_name="/recognize"
        )
    finally:
        caller.close()
    with EmotionRecognizer.open() as recognizer:
        expected = recognizer.recognize("no puedo más", CLIP)
    assert label["label"] == expected.label
