"""Models in the layout of the toolkit speech-emotion, and their definition in PyTorch."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

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
