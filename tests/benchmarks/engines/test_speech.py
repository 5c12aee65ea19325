"""Rivals for speech bundles answer as the checkpoint does, and say what they can't run."""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)

from emo_bench.engines.registry import SPEECH_RIVALS, open_engine
from emo_bench.workload import Sample
from emo_models.checkpoint import save_speech
from emo_models.labels import LABELS
from emo_models.modeling.speech import SpeechConfig, SpeechEmotionModel
from emo_models.training.speech_features import front_end_settings
from emo_runtime import EmoError
from helpers.reference_features import wav2vec2, whisper_numpy
from helpers.sounds import speechlike
from helpers.toolkit_models import WIDTH, audio_vector, cross_attention, logits, weights, write

SOUND = speechlike(1.1, 16_000)
TEXT = "hola mundo"
TOOLKIT = [name for name in SPEECH_RIVALS if "optimum" not in name]
OTHERS = [name for name in SPEECH_RIVALS if name != "speech-emotion"]


def sample(text=""):
    stream = io.BytesIO()
    soundfile.write(stream, SOUND, 16_000, format="WAV", subtype="FLOAT")
    return Sample(text, stream.getvalue())


def answer(name, checkpoint, text=""):
    rival = SPEECH_RIVALS[name]
    if not all(importlib.util.find_spec(module) for module in rival.needs):
        pytest.skip(f"{name}: not installed here")
    engine = open_engine(name, {"checkpoint": str(checkpoint), "threads": 1, "serving": False})
    outcome = engine.answer(sample(text))
    assert engine.concurrency == 1
    assert outcome.label == max(outcome.scores, key=outcome.scores.get)
    assert {"decode", "front_end", "speech", "total"} <= set(outcome.phases)
    engine.close()
    return list(outcome.scores.values())


def check(found, expected, name):
    tolerance = 0.05 if "int8" in name else 1e-4
    np.testing.assert_allclose(found, expected.softmax(-1).flatten(), rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hola"]))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=5,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def toolkit_features():
    """The frames that the attention mask of the extractor has."""
    found = SeamlessM4TFeatureExtractor()(SOUND, sampling_rate=16_000, return_tensors="pt")
    return found["input_features"][:, found["attention_mask"][0].bool()]


@pytest.mark.filterwarnings("ignore")  # warnings of these libraries
@pytest.mark.parametrize("name", TOOLKIT)
@pytest.mark.parametrize("kind", ["concat", "mean", "multihead"])
def test_models_of_speech_emotion_with_text(tmp_path, bert, name, kind):
    if kind != "concat" and name not in {"speech-emotion", "speech-onnxruntime-fp32"}:
        pytest.skip("the head is the same code in every engine")
    state = weights(kind)
    write(tmp_path / "speech", state)
    config = tmp_path / "speech" / "config.json"
    architecture = {"mean": "CustomAudioClassificationMean"}.get(kind, "Custom")
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "architectures": [architecture]}))
    (tmp_path / "encoder").symlink_to(bert)
    audio = audio_vector(state, toolkit_features())
    with torch.no_grad():
        model = BertModel.from_pretrained(bert).eval()
        text = model(torch.tensor([[2, 4, 1, 3]])).last_hidden_state[:, 0]
    joined = {
        "concat": lambda: torch.cat([audio, text], 1),
        "mean": lambda: (audio + text) / 2,
        "multihead": lambda: cross_attention(state, text, audio),
    }[kind]()
    check(answer(name, tmp_path, TEXT), logits(state, joined), name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["speech-emotion", "speech-pytorch-fp32"])
def test_an_audio_model_of_speech_emotion(tmp_path, name):
    state = weights("audio")
    folder = write(tmp_path / "w2v-bert-emotion-es", state)
    check(answer(name, folder), logits(state, audio_vector(state, toolkit_features())), name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OTHERS)
def test_a_classifier_of_transformers(tmp_path, name):
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=48,
        conv_dim=(24, 24),
        conv_stride=(10, 8),
        conv_kernel=(10, 8),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=16,
        id2label=dict(enumerate(LABELS)),
    )
    model = Wav2Vec2ForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(torch.from_numpy(wav2vec2(SOUND))).logits
    check(answer(name, tmp_path), expected, name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["speech-pytorch-fp32", "speech-onnxruntime-fp32"])
def test_a_network_of_this_project(tmp_path, name):
    torch.manual_seed(0)
    shape = SpeechConfig(width=16, heads=2, inner=32, layers=1, pooled_layers=(1,), positions=200)
    network = SpeechEmotionModel(shape).eval()
    settings = front_end_settings(network.encoder)
    save_speech(
        tmp_path, network, settings, temperature=1.5, adaptation_weight=4.0, metrics={}, base=None
    )
    gain = 10 ** (-23 / 20) / np.sqrt(np.mean(SOUND.astype(np.float64) ** 2))
    features = torch.from_numpy(whisper_numpy((SOUND * gain).astype(np.float32)))
    with torch.no_grad():
        _, expected = network(features)
    check(answer(name, tmp_path), expected / 1.5, name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("speech-optimum-int8", "optimum does not export the architecture 'wav2vec2-bert'"),
        ("speech-pytorch-fp32", "no encoder/, the BERT that this model reads text with"),
    ],
)
def test_what_a_rival_does_not_run(tmp_path, bert, name, message):
    write(tmp_path / "speech", weights("concat"))
    if "optimum" in name:
        (tmp_path / "encoder").symlink_to(bert)
    with pytest.raises(EmoError, match=message) as caught:
        open_engine(name, {"checkpoint": str(tmp_path), "threads": 1, "serving": False})
    assert "\n" not in str(caught.value)


def test_the_form_of_the_toolkit_is_for_its_own_models(tmp_path):
    network = SpeechEmotionModel(
        SpeechConfig(width=16, heads=2, inner=32, layers=1, pooled_layers=(1,), positions=200)
    )
    settings = front_end_settings(network.encoder)
    save_speech(
        tmp_path, network, settings, temperature=1.0, adaptation_weight=4.0, metrics={}, base=None
    )
    with pytest.raises(EmoError, match="not a model of speech-emotion"):
        open_engine("speech-emotion", {"checkpoint": str(tmp_path), "threads": 1, "serving": False})


def test_an_utterance_without_sound(tmp_path):
    folder: Path = write(tmp_path / "w2v-bert-emotion-es", weights("audio"))
    engine = open_engine(
        "speech-pytorch-fp32", {"checkpoint": str(folder), "threads": 1, "serving": False}
    )
    with pytest.raises(EmoError, match="the utterance has none"):
        engine.answer(Sample("hola", None))
