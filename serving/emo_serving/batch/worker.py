"""Worker of a batch job: recognizes rows with one thread."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs

from emo_runtime import AudioError, EmoError, EmotionRecognizer
from emo_runtime.bundle.manifest import TaskName
from emo_serving.on_ray.bundle_uri import local_bundle


class BatchWorker:
    """Recognizes a block of rows at a time."""

    def __init__(
        self,
        bundle: str | None,
        task: TaskName | None,
        opening: Mapping[str, Any],
        filesystem: fs.FileSystem,
    ) -> None:
        with local_bundle(bundle) as directory:
            self._recognizer = EmotionRecognizer.open(
                directory, threads=1, mode="throughput", **opening
            )
        self._task = task
        self._filesystem = filesystem
        manifest = self._recognizer.manifest
        self._bundle = f"{manifest.name} {manifest.version}"
        numbers = pa.struct({label: pa.float64() for label in self._recognizer.labels})
        self._schema = pa.schema(
            {
                "row": pa.string(),
                "id": pa.string(),
                "task": pa.string(),
                "label": pa.string(),
                "confidence": pa.float64(),
                "scores": numbers,
                "notes": pa.list_(pa.struct({"code": pa.string(), "message": pa.string()})),
                "error": pa.string(),
                "kind": pa.string(),
                "bundle": pa.string(),
            }
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the answers, one for each row."""
        found = [self._found(row) for row in rows.to_pylist()]
        return pa.Table.from_pylist(found, self._schema)

    def _found(self, row: dict[str, Any]) -> dict[str, Any]:
        head = {"row": row["row"], "id": row["id"], "bundle": self._bundle}
        if row["error"] is not None:
            return head | {"error": row["error"], "kind": "RowError"}
        try:
            answer = self._recognizer.recognize(row["text"], self._sound(row), task=self._task)
        except EmoError as error:
            return head | {"error": str(error), "kind": type(error).__name__}
        return head | answer.to_dict()

    def _sound(self, row: dict[str, Any]) -> str | bytes | None:
        """Return the sound, or the path of a local file, whose size the runtime limits."""
        sound: bytes | None = row["sound"]
        path: str | None = row["audio"]
        if sound is not None or path is None:
            return sound
        if isinstance(self._filesystem, fs.LocalFileSystem):
            return path
        try:
            with self._filesystem.open_input_stream(path) as stream:
                return bytes(stream.read())
        except OSError as error:
            raise AudioError(f"{path}: can't be read: {error}") from None
