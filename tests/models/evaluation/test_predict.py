from pathlib import Path

import pytest

from emo_models.checkpoint import save_fusion, save_speech
from emo_models.data.corpora import Row
from emo_models.errors import CheckpointError
from emo_models.evaluation.predict import predict
from emo_models.modeling.fusion import TrainedFusion
from emo_models.modeling.late_fusion import LateFusionConfig, LateFusionNetwork
from emo_models.modeling.speech import SpeechConfig, SpeechEmotionModel
from emo_runtime.bundle.front_ends import LogMelSettings


def test_checkpoints_that_read_speech_are_refused_with_the_way_to_evaluate_them(
    tmp_path: Path, encoder: Path
) -> None:
    shape = SpeechConfig(n_mels=20, width=16, heads=2, inner=24, positions=30)
    save_speech(tmp_path / "speech", SpeechEmotionModel(shape), LogMelSettings(n_mels=20))
    network = LateFusionNetwork(LateFusionConfig(audio_width=24, hidden=16))
    network.details = TrainedFusion(speech_sha256="ab" * 32)
    save_fusion(tmp_path / "fusion", network)
    with pytest.raises(CheckpointError, match=r"a speech network.*evaluate the bundle"):
        predict(tmp_path / "speech", [], "audio")
    with pytest.raises(CheckpointError, match=r"speech network.*evaluate the bundle"):
        predict(tmp_path / "fusion", [], "fusion", encoder=encoder)


def test_an_installed_bundle_is_evaluated_by_its_name() -> None:
    row = Row("1", "joy", "Qué alegría verte.", None, "", "row 1")
    found = predict("emo-es-small", [row], "text")
    assert found.labels[found.probabilities[0].argmax()] == "joy"
    assert found.probabilities.sum() == pytest.approx(1.0)
