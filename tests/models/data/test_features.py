"""Frozen features: of sound against librosa, of text against the encoder in transformers."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from emo_models.data.corpora import Needs, Row, read_csv
from emo_models.data.features import audio_contract, audio_features, text_features
from emo_models.errors import DataError
from emo_models.modeling.load import TextCheckpoint, load_encoder
from helpers.corpora import DATA, needs


@needs("nemo")
@pytest.mark.parametrize("n_mfcc", [56, 128, 256])
def test_features_are_librosas(n_mfcc: int) -> None:
    clips = read_csv(DATA / "nemo" / "nemo.csv")[::700]
    found = audio_features(clips, audio_contract(n_mfcc))
    for row, ours in zip(clips, found, strict=True):
        assert row.audio is not None
        # librosa.load would import audioread, and with it modules that Python has deprecated.
        samples, rate = soundfile.read(row.audio, dtype="float32")
        samples = librosa.resample(samples, orig_sr=rate, target_sr=22_050, res_type="soxr_hq")
        theirs = librosa.feature.mfcc(
            y=samples, sr=22_050, n_mfcc=n_mfcc, n_mels=max(128, n_mfcc)
        ).mean(axis=1)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_features_are_kept_and_bad_sound_is_named(clips: Path, tmp_path: Path) -> None:
    given = read_csv(clips, needs=Needs(audio=True))
    first = audio_features(given, audio_contract(128), cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert (audio_features(given, audio_contract(128), cache=tmp_path / "cache") == first).all()
    assert given[3].audio is not None
    given[3].audio.write_text("no sound")
    with pytest.raises(DataError, match=r"clips\.csv, row 4: "):
        audio_features(given, audio_contract(128), cache=tmp_path / "cache")


def test_text_features_are_the_mean_state_of_the_stripped_text(encoder: Path) -> None:
    read = load_encoder(encoder)
    given = [
        Row(str(i), "joy", text, None, "", "") for i, text in enumerate(["  pena ", "furia rabia"])
    ]
    found = text_features(given, read)
    for row, ours in zip(given, found, strict=True):
        batch = read.tokenizer([(row.text or "").strip()], return_tensors="pt")
        with torch.no_grad():
            theirs = read.module(**batch).last_hidden_state.mean(1)[0]
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)


def test_text_features_follow_the_encoders_preparation(encoder: Path) -> None:
    """The runtime prepares the transcript of a fusion task with these settings too."""
    read = load_encoder(encoder)
    read.tokenizer.backend_tokenizer.normalizer = None  # by itself it would normalize to NFC
    declared = {"text_preparation": {"lowercase": True, "replace": ["users"]}}
    prepared = replace(read, config={**read.config, **declared})

    def features(text: str, checkpoint: TextCheckpoint) -> NDArray[np.float32]:
        return text_features([Row("1", "joy", text, None, "", "")], checkpoint)

    written = unicodedata.normalize("NFD", " @Ana PÁNICO alegría ")
    expected = features("@usuario pánico alegría", read)
    np.testing.assert_array_equal(features(written, prepared), expected)
    assert (features(written, read) != expected).any()
