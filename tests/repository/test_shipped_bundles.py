"""The bundles that ship: complete, licensed, and right about what a first visitor tries."""

import csv
import importlib.metadata

import numpy as np
import pytest
import soundfile

from emo_models.data.augmentation import gain
from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.reader import DEFAULT, ENTRY_POINTS, open_bundle
from helpers.corpora import CHECKPOINTS, CLIPS, ROOT

MEGABYTE = 1 << 20
LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness")
NON_COMMERCIAL = "CC-BY-NC-SA-4.0"
# Licence of the weights and largest size.
SHIPPED = {
    "emo-es": ("Apache-2.0", 40 * MEGABYTE),
    "emo-es-research": (NON_COMMERCIAL, 40 * MEGABYTE),
    "emo-es-small": (NON_COMMERCIAL, 15 * MEGABYTE),
}
SENTENCES = ROOT / "tests" / "data" / "visitor_sentences.csv"


@pytest.fixture(scope="module", params=["emo-es", "emo-es-research"])
def recognizer(request):
    with EmotionRecognizer.open(request.param) as found:
        yield found


def test_these_bundles_are_installed_and_the_default_may_be_used_commercially():
    found = {entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    assert set(SHIPPED) <= found
    assert DEFAULT == "emo-es"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_bundle_is_whole_and_states_its_licence(name):
    licence, largest = SHIPPED[name]
    bundle = open_bundle(name)
    bundle.verify()
    assert bundle.manifest.name == name
    assert tuple(bundle.manifest.labels) == LABELS
    assert set(bundle.manifest.tasks) == {"text", "fusion", "audio"}
    assert bundle.manifest.licence.weights == licence
    assert sum(file.stat().st_size for file in bundle.path.iterdir()) < largest
    card = (bundle.path / "CARD.md").read_text(encoding="utf-8")
    assert card.startswith(f"# {name}\n")
    assert ("non-commercial" in card) == (licence == NON_COMMERCIAL)


def test_no_checkpoint_is_large():
    assert not [
        file
        for file in CHECKPOINTS.rglob("*")
        if file.is_file() and "base" not in file.parts and file.stat().st_size > 15 * MEGABYTE
    ]


@pytest.mark.parametrize("name", ["emo-es", "emo-es-research"])
def test_cards_have_the_notices_of_the_encoders(name):
    card = (open_bundle(name).path / "CARD.md").read_text(encoding="utf-8")
    for notice in ("MIT License", "OpenAI", "multilingual-e5-small", "Permission is hereby"):
        assert notice in card


def test_it_passes_its_self_test(recognizer):
    assert recognizer.self_test() < 0.05


def test_47_of_50_everyday_sentences_are_right(recognizer):
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    wrong = [
        (row["text"], row["label"], answer.label)
        for row in rows
        if (answer := recognizer.recognize(row["text"])).label != row["label"]
    ]
    assert len(wrong) <= 3, wrong


@pytest.mark.parametrize(
    ("clip", "label"),
    [
        ("queja.flac", "anger"),
        ("tristeza.flac", "sadness"),
        ("alegria.flac", "joy"),
        ("miedo.flac", "fear"),
        ("asco.wav", "disgust"),
        ("factura.wav", "neutral"),
        ("saludo.wav", "neutral"),
    ],
)
def test_the_clips_with_their_transcripts_are_right(recognizer, clip, label):
    with (CLIPS / "clips.csv").open(encoding="utf-8", newline="") as file:
        [text] = [row["text"] for row in csv.DictReader(file) if row["audio"] == clip]
    assert recognizer.recognize(text, CLIPS / clip).label == label


@pytest.mark.parametrize("change_db", [-20.0, 12.0])
def test_the_level_of_the_recording_does_not_change_the_answer(recognizer, change_db):
    for path in sorted(CLIPS.glob("*.flac")):
        samples, rate = soundfile.read(path, dtype="float32")
        samples = samples / np.abs(samples).max() * np.float32(0.2)  # not clipped at +12 dB
        before = recognizer.recognize(audio=(samples, rate))
        after = recognizer.recognize(audio=(gain(samples, change_db), rate))
        assert after.label == before.label
        np.testing.assert_allclose(
            list(after.scores.values()), list(before.scores.values()), rtol=0, atol=0.05
        )


def test_a_speaker_profile_is_accepted(recognizer):
    speaker = recognizer.speaker()
    for path in sorted(CLIPS.glob("*.flac")):
        recognizer.recognize(audio=path, speaker=speaker)
    assert speaker.count == len(list(CLIPS.glob("*.flac")))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_export_met_its_gate(name):
    verification = open_bundle(name).manifest.verification
    agreement = 0.99 if name == "emo-es-small" else 0.96
    assert verification["gate"]["enforced"]
    assert verification["gate"]["min_agreement"] >= agreement
    assert verification["gate"]["max_f1_loss"] <= 0.005
    assert all(found["agreement"] >= agreement for found in verification["comparisons"])
