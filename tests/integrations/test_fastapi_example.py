"""The FastAPI example, through Starlette's test client: forms, files, limits, errors."""

import pytest

from emo_runtime import EmotionRecognizer, OverloadedError
from helpers.corpora import CLIPS, ROOT
from helpers.modules import load_module

pytest.importorskip("fastapi", reason="the example needs FastAPI: run `make integrations`")
pytest.importorskip("python_multipart", reason="forms need python-multipart")
from fastapi.testclient import TestClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CLIP = CLIPS / "miedo.flac"


@pytest.fixture(scope="module")
def client():
    module = load_module(ROOT / "examples/integrations/fastapi/app.py")
    with TestClient(module.app) as opened:
        yield opened


@pytest.fixture(scope="module")
def recognizer():
    with EmotionRecognizer.open() as opened:
        yield opened


def test_text_sound_and_both(client, recognizer):
    file = {"audio": ("call.flac", CLIP.read_bytes())}
    text = client.post("/emotion", data={"text": "no puedo más"})
    assert text.json()["scores"] == recognizer.recognize("no puedo más").scores
    sound = client.post("/emotion", files=file)
    assert sound.json()["scores"] == recognizer.recognize(audio=CLIP).scores
    both = client.post("/emotion", data={"text": "no puedo más"}, files=file)
    assert both.json()["scores"] == recognizer.recognize("no puedo más", CLIP).scores


def test_errors(client, monkeypatch):
    assert client.post("/emotion").status_code == 422
    bad = client.post("/emotion", files={"audio": ("x.wav", b"not a sound")})
    assert bad.status_code == 422
    assert client.post("/emotion", files={"audio": ("x", bytes(9 << 20))}).status_code == 413

    async def refuse(*_):
        raise OverloadedError("too many calls")

    monkeypatch.setattr(client.app.state.recognizer, "arecognize", refuse)
    full = client.post("/emotion", data={"text": "hola"})
    assert (full.status_code, full.headers["Retry-After"]) == (503, "1")
