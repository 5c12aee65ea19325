"""Transcripts to ids: the tiny tokenizer's own rules, and what is refused or noted."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from emo_runtime import BundleError, EmotionRecognizer, TextError
from emo_runtime.text.preparation import TextPreparation
from emo_runtime.text.tokenizer import MAX_CHARACTERS, TextTokenizer
from helpers.mutate import replace_file
from helpers.tiny import SENTENCES, Tiny, tokenizer_json

TINY = Tiny()
DATA = tokenizer_json(TINY)
SIZE = len(TINY.vocabulary)


def tokenizer(data=DATA, max_tokens=16, vocab_size=SIZE):
    return TextTokenizer(data, "tokenizer.json", max_tokens, vocab_size)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_known_words_are_looked_up(sentence):
    tokens = tokenizer()(sentence)
    assert tokens.ids.dtype == np.int64
    np.testing.assert_array_equal(tokens.ids, TINY.ids(sentence))
    assert tokens.notes == ()


def test_an_unknown_word_is_spelt():
    expected = ["[CLS]", "x", "##y", "[SEP]"]
    assert tokenizer()("XY").ids.tolist() == [[TINY.vocabulary[piece] for piece in expected]]


def test_a_long_transcript_is_cut_and_says_so():
    tokens = tokenizer(max_tokens=8)("hola " * 50)
    assert tokens.ids.shape == (1, 8)
    assert tokens.ids[0, -1] == TINY.vocabulary["[SEP]"]
    assert tokens.notes[0].code == "text_truncated"
    assert "only the first 8 tokens were used" in str(tokens.notes[0])
    assert tokenizer(max_tokens=8)("hola " * 6).notes == ()


@pytest.mark.parametrize("text", ["\u200b", "\u200b\ufeff \u00ad"])
def test_invisible_characters_are_an_empty_transcript(text):
    with pytest.raises(TextError, match="no words left after tokenization"):
        tokenizer()(text)


def test_special_tokens_in_a_transcript_are_plain_text():
    declared = Tokenizer.from_str(DATA.decode())
    declared.add_special_tokens(["[SEP]"])
    data = declared.to_str().encode()
    for keep_special, count in ((False, 1), (True, 2)):
        found = TextTokenizer(data, "tokenizer.json", 16, SIZE, keep_special=keep_special)
        ids = list(found("hola [SEP] hola").ids[0])
        assert ids.count(TINY.vocabulary["[SEP]"]) == count


def test_a_preparation_is_applied():
    prepared = tokenizer()("HOLA ejemplo.com hola", TextPreparation(lowercase=True))
    assert prepared.ids.shape[1] > 5
    prepared = tokenizer()("hola hola", TextPreparation(strip=True))
    assert prepared.ids.tolist() == tokenizer()("hola hola").ids.tolist()


def test_unknown_words_are_noted():
    tokens = tokenizer()("中文")
    assert set(tokens.ids[0, 1:-1]) == {TINY.vocabulary["[UNK]"]}
    assert [note.code for note in tokens.notes] == ["unknown_text"]
    assert tokenizer()("hola 中文").notes == ()


def test_truncation_and_padding_in_the_file_do_not_count():
    baked = Tokenizer.from_str(DATA.decode())
    baked.enable_truncation(3)
    baked.enable_padding(length=40, pad_id=0, pad_token="[PAD]")
    found = tokenizer(baked.to_str().encode())(SENTENCES[0])
    np.testing.assert_array_equal(found.ids, TINY.ids(SENTENCES[0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the transcript is empty"),
        (" \t\n\u00a0\u3000", "the transcript is empty"),
        ("x" * (MAX_CHARACTERS + 1), "has 100,001 characters"),
        (b"hola", "of type bytes. Give a string"),
        (5, "of type int. Give a string"),
        ("hola \ud800", "lone surrogates"),
    ],
)
def test_invalid_transcripts(text, message):
    with pytest.raises(TextError, match=message):
        tokenizer()(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 5_000,
        "\u0000hola\u0007",
        "\u202ealoh",
        "😡" * 100,
        "مرحبا",
        "e\u0301" * 300,
        "[CLS] [SEP] [MASK]",
        "a" * MAX_CHARACTERS,
    ],
)
def test_odd_texts_have_ids(text):
    ids = tokenizer()(text).ids
    assert ids.shape[1] <= 16
    assert 0 <= ids.min() <= ids.max() < len(TINY.vocabulary)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b'{"model": {"type": "WordPiece"}}', DATA[:-20]]
)
def test_invalid_tokenizers(data):
    with pytest.raises(BundleError, match=r"^tokenizer\.json: the tokenizer can't be loaded"):
        tokenizer(data)


def test_ids_beyond_the_embedding_are_refused():
    size = SIZE
    with pytest.raises(
        BundleError, match=f"has the id {size - 1}, but the graph accepts {size - 1}"
    ):
        tokenizer(vocab_size=size - 1)
    added = json.loads(DATA)
    added["added_tokens"] = [
        {
            "id": size,
            "content": "[NEW]",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    ]
    with pytest.raises(BundleError, match=f"has the id {size}"):
        tokenizer(json.dumps(added).encode())


def test_an_exchanged_tokenizer_is_refused_when_opened(own_bundle):
    path = replace_file(own_bundle(), "tokenizer.json", b"{}")
    with pytest.raises(BundleError, match="the tokenizer can't be loaded"):
        EmotionRecognizer.open(path)
