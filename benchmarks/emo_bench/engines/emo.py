"""Engine: emo_runtime."""

from typing import Any

from emo_bench.engines.base import Outcome
from emo_bench.workload import Sample
from emo_runtime import EmotionRecognizer, EmotionStream
from emo_runtime.bundle.manifest import Precision


class EmoEngine:
    """emo-runtime. With ``serving`` it answers as many utterances at once as it has threads."""

    def __init__(
        self,
        bundle: str | None,
        *,
        threads: int | None,
        provider: str = "auto",
        variant: Precision | None = None,
        serving: bool = False,
    ) -> None:
        self._recognizer = EmotionRecognizer.open(
            bundle,
            providers=provider,
            threads=threads,
            variant=variant,
            mode="throughput" if serving else "latency",
            self_test=False,
        )
        self.concurrency = self._recognizer.describe()["threads"]["count"] if serving else 1

    def answer(self, sample: Sample) -> Outcome:
        """Answer from the text and the sound that the sample has."""
        answer = self._recognizer.recognize(sample.text or None, sample.audio)
        return Outcome(answer.label, answer.scores, answer.tokens, answer.timings.by_step())

    def stream(self, sample_rate: int) -> EmotionStream:
        """Open a live utterance of 16-bit samples."""
        return self._recognizer.stream(sample_rate=sample_rate)

    def describe(self) -> dict[str, Any]:
        """Return the recognizer's description, the size and the agreement of the bundle."""
        manifest = self._recognizer.manifest
        comparisons = manifest.verification.get("comparisons", [])
        return self._recognizer.describe() | {
            "model_bytes": sum(file.bytes for file in manifest.files()),
            "label_agreement_with_fp32": {
                f"{item['task']} {item['precision']}": item["agreement"] for item in comparisons
            },
        }

    def close(self) -> None:
        """Close the recognizer."""
        self._recognizer.close()
