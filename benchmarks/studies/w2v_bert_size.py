"""Write a concat model of speech-emotion with random weights, to measure without its own.

python -m studies.w2v_bert_size OUTPUT [--layers 24] [--vocabulary DIR]

Writes OUTPUT/speech (Wav2Vec2-BERT of w2v-bert-2.0's shape, 1024 wide, in the layout of the
toolkit) and OUTPUT/encoder (a BERT of BETO's size). Then:

emo-export --speech-emotion OUTPUT/speech --encoder OUTPUT/encoder --quantize --no-gate
emo-bench --bundle bundle --peers --checkpoint OUTPUT --scenario SingleStream --threads 2

24 layers take 2.8 GB on the disk; their export takes several times as much memory.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
)

from emo_models.labels import LABELS
from studies.beto_size import WORDS, made_up_words

_WIDTH = 768


def main() -> None:
    """Write both checkpoints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--vocabulary", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    write_speech(options.output / "speech", options.layers)
    write_encoder(options.output / "encoder", options.vocabulary)
    print(f"wrote {options.output}/speech and {options.output}/encoder")


def write_speech(folder: Path, layers: int) -> None:
    """Write config.json, preprocessor_config.json and model.bin."""
    folder.mkdir(parents=True, exist_ok=True)
    config = Wav2Vec2BertConfig(
        num_hidden_layers=layers,
        classifier_proj_size=_WIDTH,
        mask_time_prob=0.0,
        id2label=dict(enumerate(LABELS)),
        architectures=["CustomAudioClassificationConcat"],
    )
    encoder = Wav2Vec2BertModel(config).state_dict()
    state = {f"wav2vec2_bert.{name}": tensor for name, tensor in encoder.items()}
    for name, rows, columns in (
        ("projector", _WIDTH, config.hidden_size),
        ("classifier.dense", 2 * _WIDTH, 2 * _WIDTH),
        ("classifier.out_proj", len(LABELS), 2 * _WIDTH),
    ):
        state |= _linear(name, rows, columns)
    config.save_pretrained(folder)
    SeamlessM4TFeatureExtractor().save_pretrained(folder)
    torch.save(state, folder / "model.bin")


def write_encoder(folder: Path, vocabulary: Path | None) -> None:
    """Write a BERT without a head; ``vocabulary`` is a folder with BETO's vocab.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (vocabulary or folder) / "vocab.txt"
    if vocabulary is None:
        file.write_text("\n".join(made_up_words()) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab_file=str(file), model_max_length=512).save_pretrained(folder)
    BertModel(BertConfig(vocab_size=WORDS)).save_pretrained(folder)


def _linear(name: str, rows: int, columns: int) -> dict[str, Tensor]:
    weight = torch.randn(rows, columns) / columns**0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.randn(rows) / 10}


if __name__ == "__main__":
    main()
