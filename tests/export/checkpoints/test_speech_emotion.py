"""Models in the layout of the toolkit speech-emotion against their definition in PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

from emo_export.checkpoints.speech_emotion import read_speech_emotion
from emo_export.evaluation.session import GraphSession
from emo_export.passes.optimize import optimize_speech
from emo_export.torch_export import speech_graph
from emo_models.errors import CheckpointError
from emo_models.labels import LABELS
from emo_runtime.bundle.front_ends import KaldiFbankSettings

WIDTH, HEADS = 16, 8
CONFIG = Wav2Vec2BertConfig(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    conv_depthwise_kernel_size=5,
    classifier_proj_size=WIDTH,
)
State = dict[str, Tensor]


def weights(kind: str) -> State:
    torch.manual_seed(0)
    encoder = Wav2Vec2BertModel(CONFIG)
    state = {f"wav2vec2_bert.{name}": value for name, value in encoder.state_dict().items()}
    total = 2 * WIDTH if kind == "concat" else WIDTH
    shapes = {
        "projector": (WIDTH, 32),
        "classifier.dense": (total, total),
        "classifier.out_proj": (6, total),
    }
    if kind == "multihead":
        shapes["mult_attn_model.proj"] = (WIDTH, WIDTH * HEADS)
        for head in range(HEADS):
            names = ("Wq", "Wk", "Wv", "Wq_reverse", "Wk_reverse", "Wv_reverse")
            shapes |= {f"mult_attn_model.heads.{head}.{name}": (WIDTH, WIDTH) for name in names}
            shapes[f"mult_attn_model.heads.{head}.linear_out"] = (WIDTH, 2 * WIDTH)
            state[f"mult_attn_model.heads.{head}.norm.weight"] = torch.randn(WIDTH)
            state[f"mult_attn_model.heads.{head}.norm.bias"] = torch.randn(WIDTH)
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(shape) / shape[1] ** 0.5
        state[f"{name}.bias"] = torch.randn(shape[0]) / 10
    state["classifier.layernorm.weight"] = torch.ones(total)
    state["classifier.layernorm.bias"] = torch.zeros(total)
    return state


def write(directory: Path, state: State, name: str = "model.bin") -> Path:
    CONFIG.save_pretrained(directory)
    SeamlessM4TFeatureExtractor().save_pretrained(directory)
    if name == "model.bin":
        torch.save(state, directory / name)
    else:
        save_file(state, directory / name)
    return directory


def layer(state: State, name: str, values: Tensor) -> Tensor:
    return linear(values, state[f"{name}.weight"], state[f"{name}.bias"])


def audio_vector(state: State, features: Tensor) -> Tensor:
    encoder = Wav2Vec2BertModel(CONFIG).eval()
    prefix = "wav2vec2_bert."
    encoder.load_state_dict(
        {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    )
    with torch.no_grad():
        return layer(state, "projector", encoder(features).last_hidden_state).mean(1)


def cross_attention(state: State, text: Tensor, audio: Tensor) -> Tensor:
    """With attention written out; the rows of a batch are the sequence."""
    outputs = []
    for number in range(HEADS):
        head = f"mult_attn_model.heads.{number}"
        sides = []
        for end, asking, asked in (("", text, audio), ("_reverse", audio, text)):
            query, key, value = (
                layer(state, f"{head}.W{part}{end}", side)
                for part, side in (("q", asking), ("k", asked), ("v", asked))
            )
            sides.append(scaled_dot_product_attention(query, key, value) + value)
        outputs.append(layer(state, f"{head}.linear_out", torch.cat(sides, -1)))
    return layer(state, "mult_attn_model.proj", torch.cat(outputs, -1))


def logits(state: State, features: Tensor) -> Tensor:
    return layer(state, "classifier.out_proj", layer(state, "classifier.dense", features).tanh())


@pytest.mark.parametrize("name", ["model.bin", "model.safetensors"])
def test_the_speech_model(tmp_path: Path, name: str) -> None:
    state = weights("audio")
    model = read_speech_emotion(str(write(tmp_path / "w2v-bert-emotion-es", state, name)))
    assert model.fusion is None
    assert model.speech.labels == LABELS
    front_end = model.speech.front_end
    assert isinstance(front_end, KaldiFbankSettings)
    assert front_end.max_frames() == 16_000
    session = GraphSession(optimize_speech(speech_graph(model.speech, ("logits",))))
    for length in (1, 40, 90):
        features = torch.randn(1, length, 160)
        expected = logits(state, audio_vector(state, features))
        found = session.run(features=features.numpy())["logits"]
        assert np.abs(found - expected.numpy()).max() < 1e-4
        # The checkpoint stays in evaluation mode after its export.
        with torch.no_grad():
            again = model.speech.module(features)[1]
        torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["concat", "mean", "multihead"])
def test_models_of_sound_and_text(tmp_path: Path, kind: str) -> None:
    state = weights(kind)
    model = read_speech_emotion(str(write(tmp_path / f"w2v-bert-beto-{kind}-emotion-es", state)))
    assert model.fusion is not None
    assert model.speech.labels == ()
    assert model.fusion_config["text_pooling"] == "cls"
    features, text = torch.randn(1, 50, 160), torch.randn(1, WIDTH)
    audio = audio_vector(state, features)
    joined = {
        "concat": lambda: torch.cat([audio, text], 1),
        "mean": lambda: (audio + text) / 2,
        "multihead": lambda: cross_attention(state, text, audio),
    }[kind]()
    with torch.no_grad():
        vector, none = model.speech.module(features)
        found = model.fusion(vector, text)
    assert none is None
    torch.testing.assert_close(vector, audio, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, logits(state, joined), atol=1e-4, rtol=1e-4)


def test_an_audio_or_mean_model_without_a_telling_name_needs_the_kind(tmp_path: Path) -> None:
    directory = write(tmp_path / "model", weights("mean"))
    with pytest.raises(CheckpointError, match="--speech-emotion-kind audio or mean"):
        read_speech_emotion(str(directory))
    assert read_speech_emotion(str(directory), "mean").fusion is not None
    assert read_speech_emotion(str(directory), "audio").fusion is None


def test_refused_with_one_line(tmp_path: Path) -> None:
    state = weights("concat")
    faults: list[tuple[dict[str, torch.Tensor | None], str]] = [
        ({"projector.weight": None}, r"has no projector\.weight: not a model"),
        ({"classifier.out_proj.weight": torch.ones(7, 32)}, "7 outputs"),
        ({"projector.weight": torch.ones(WIDTH, 20)}, "does not fit"),
        ({"classifier.dense.weight": torch.ones(20, 20)}, "the head reads 20 values"),
    ]
    for number, (changed, message) in enumerate(faults):
        faulty = {k: v for k, v in {**state, **changed}.items() if v is not None}
        with pytest.raises(CheckpointError, match=message) as caught:
            read_speech_emotion(str(write(tmp_path / str(number), faulty)))
        assert "\n" not in str(caught.value)
    directory = write(tmp_path / "broken", state)
    (directory / "model.bin").write_bytes(b"no pickle")
    with pytest.raises(CheckpointError, match="can't be read as weights"):
        read_speech_emotion(str(directory))
    (directory / "model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.bin nor model\.safetensors"):
        read_speech_emotion(str(directory))
