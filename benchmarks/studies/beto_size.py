"""Write checkpoints of BETO's size with random weights, to measure without BETO's own weights.

python -m studies.beto_size OUTPUT [--vocabulary DIR]

Writes OUTPUT/text (12 layers of 768, 31,002 words) and OUTPUT/fusion (128 + 768 -> 6). Biases and
layer-norm parameters are random as well: the zeros and ones of PyTorch's initialization would be
folded when the graph is optimized, unlike those of a trained network. ``--vocabulary`` is a folder
with BETO's vocab.txt; without it the words are generated.
"""

import argparse
import itertools
import string
from pathlib import Path

import msgspec
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from emo_models.checkpoint import save_fusion, save_text
from emo_models.data.features import audio_contract
from emo_models.labels import LABELS
from emo_models.modeling.fusion import FusionConfig, FusionNetwork, TrainedFusion
from emo_models.modeling.source import WEIGHTS, file_sha256

WORDS = 31_002
# In BETO's order.
SPECIAL = ("[MASK]", "[PAD]", "[EOS]", "[UNK]", "[CLS]", "[SEP]")


def main() -> None:
    """Write both checkpoints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--vocabulary", type=Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    text = classifier()
    vocabulary = (options.vocabulary or options.output) / "vocab.txt"
    if options.vocabulary is None:
        vocabulary.write_text("\n".join(made_up_words()) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(
        vocab_file=str(vocabulary), do_lower_case=False, strip_accents=False, model_max_length=512
    )
    save_text(options.output / "text", text, tokenizer)
    network = FusionNetwork(FusionConfig(hidden=text.config.hidden_size))
    network.details = TrainedFusion(
        encoder_sha256=file_sha256(options.output / "text" / WEIGHTS),
        audio=msgspec.to_builtins(audio_contract(network.config.n_mfcc)),
    )
    save_fusion(options.output / "fusion", network)
    print(f"wrote {options.output}/text and {options.output}/fusion")


def classifier() -> BertForSequenceClassification:
    """Return a stock BERT classifier without initial zeros and ones."""
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS,
            pad_token_id=SPECIAL.index("[PAD]"),
            id2label=dict(enumerate(LABELS)),
            label2id={label: number for number, label in enumerate(LABELS)},
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.02)
            elif "LayerNorm" in name:
                parameter.normal_(1, 0.1)
    return model


def made_up_words() -> list[str]:
    """Return a vocabulary of BETO's size: its special tokens, letters, then syllables."""
    letters = string.ascii_letters + string.digits + string.punctuation + "áéíóúüñÁÉÍÓÚÜÑ¿¡"
    syllables = (a + b for a, b in itertools.product("bcdfglmnprstv", "aeiouáéíóú"))
    parts = list(syllables)
    longer = ("".join(pair) for size in (2, 3) for pair in itertools.product(parts, repeat=size))
    entries = itertools.chain(
        SPECIAL, letters, (f"##{letter}" for letter in letters), parts, longer
    )
    return list(itertools.islice(entries, WORDS))


if __name__ == "__main__":
    main()
