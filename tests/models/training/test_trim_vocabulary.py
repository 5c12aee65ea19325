import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from emo_models.cli.train import main
from emo_models.errors import CheckpointError, DataError
from emo_models.training.trim_vocabulary import (
    SPECIAL_TOKENS,
    choose_pieces,
    coverage,
    is_basic,
    trim_encoder,
)

WORDS = ["▁la", "▁casa", "▁verde", "▁perro", "▁дом", "▁maison", "漢"]
LETTERS = ["▁", *"abcdefghijklmnopqrstuvwxyzé.,"]
PIECES = ["<s>", "<pad>", "</s>", "<unk>", *WORDS, *LETTERS, "<mask>"]


@pytest.fixture
def unigram(tmp_path: Path) -> Path:
    """Directory of an untrained BERT of 3 x 8 with a unigram vocabulary in XLM-R's layout."""
    scores = {piece: -10.0 if piece in LETTERS else -2.0 for piece in PIECES}
    tokenizer = Tokenizer(models.Unigram([(p, scores[p]) for p in PIECES], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    directory = tmp_path / "encoder"
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(PIECES) + 3,
            hidden_size=8,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
        )
    ).save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("la casa verde\nla casa\n" * 15, encoding="utf-8")
    return path


def test_hidden_states_are_those_of_the_first_layers(unigram: Path, text: Path) -> None:
    output = unigram.parent / "small"
    trim_encoder(unigram, output, texts=[text], vocabulary=38, layers=2)
    full, small = (AutoModel.from_pretrained(path).eval() for path in (unigram, output))
    sentence = "la casa verde, el perro"
    old = Tokenizer.from_file(str(unigram / "tokenizer.json"))
    tokenizer = AutoTokenizer.from_pretrained(output)
    before = old.encode("la casa verde.")
    after = tokenizer("la casa verde.", return_tensors="pt")
    assert tokenizer.convert_ids_to_tokens(after.input_ids[0]) == before.tokens
    with torch.no_grad():
        expected = full(torch.tensor([before.ids]), output_hidden_states=True).hidden_states[2]
        states = small(**after).last_hidden_state
    torch.testing.assert_close(states, expected, rtol=1e-5, atol=1e-6)
    assert "<unk>" not in tokenizer.tokenize(sentence)


def test_pieces_that_the_text_needs_and_basic_ones_are_kept(unigram: Path, text: Path) -> None:
    output = unigram.parent / "small"
    report = trim_encoder(unigram, output, texts=[text], vocabulary=38)
    kept = set(AutoTokenizer.from_pretrained(output).get_vocab())
    assert kept == set(PIECES) - {"▁perro", "▁дом", "▁maison", "漢"}
    assert report["pieces"] == {"before": len(PIECES), "after": len(kept)}
    assert report["coverage"]["before"] == report["coverage"]["after"]
    assert report == json.loads((output / "trim.json").read_text(encoding="utf-8"))


def test_a_small_vocabulary_costs_tokens_but_gives_no_unknown_ones(
    unigram: Path, text: Path
) -> None:
    report = trim_encoder(unigram, unigram.parent / "small", texts=[text], vocabulary=5)
    before, after = report["coverage"]["before"], report["coverage"]["after"]
    assert before["tokens_per_word"] == pytest.approx(1)
    # The held-out line is "la casa": three and five characters with their space.
    assert after["tokens_per_word"] == pytest.approx(4)
    assert after["unknown_tokens"] == 0


def test_coverage_counts_unknown_tokens(unigram: Path) -> None:
    tokenizer = Tokenizer.from_file(str(unigram / "tokenizer.json"))
    found = coverage(tokenizer, ["la casa", "la ♞"])
    assert (found.lines, found.words, found.lines_with_unknown) == (2, 4, 0.5)
    tokens = [token for line in ("la casa", "la ♞") for token in tokenizer.encode(
        line, add_special_tokens=False).ids]  # fmt: skip
    assert found.unknown_tokens == pytest.approx(tokens.count(3) / len(tokens))
    assert found.tokens_per_word == pytest.approx(len(tokens) / 4)


def test_sources_count_equally() -> None:
    pieces = [*SPECIAL_TOKENS, "▁uno", "▁dos"]
    counts = [Counter({5: 1000, 6: 500}), Counter({6: 2})]
    assert choose_pieces(pieces, counts, 6) == [0, 1, 2, 3, 4, 6]


@pytest.mark.parametrize(
    ("piece", "expected"),
    [("ñ", True), ("▁a", True), ("▁", True), ("…", True), ("😀", True), ("д", False),
     ("漢", False), ("la", False), ("▁la", False)],
)  # fmt: skip
def test_basic_pieces(piece: str, expected: bool) -> None:
    assert is_basic(piece) is expected


def test_what_can_not_be_trimmed_is_refused(unigram: Path, text: Path, encoder: Path) -> None:
    output = unigram.parent / "small"
    with pytest.raises(CheckpointError, match="WordPiece"):
        trim_encoder(encoder, output, texts=[text], vocabulary=40)
    with pytest.raises(CheckpointError, match="3 layers, not 4"):
        trim_encoder(unigram, output, texts=[text], vocabulary=40, layers=4)
    with pytest.raises(DataError, match="no such file"):
        trim_encoder(unigram, output, texts=[text.with_name("none.txt")], vocabulary=40)
    with pytest.raises(DataError, match="not empty"):
        trim_encoder(unigram, unigram, texts=[text], vocabulary=40)
    assert not output.exists()


def test_command_reports_the_coverage(unigram: Path, text: Path) -> None:
    output = unigram.parent / "small"
    arguments = ["trim", "--encoder", unigram, "--vocabulary", 38, "--layers", 1, "--text", text]
    result = CliRunner().invoke(main, [*map(str, arguments), "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "before: 42 pieces, 1.000 tokens per word, 0.0000% of tokens unknown" in result.output
    assert "1 layers" in result.output
