"""Recordings as rows, and bundles from a URI: no cluster is needed."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emo_runtime import BundleError, EmotionRecognizer
from emo_runtime.rows import RowError
from emo_serving.batch.predict import predict_recordings
from emo_serving.on_ray.bundle_uri import local_bundle
from helpers.corpora import CLIPS, SMALL_BUNDLE


def rows(source):
    """In a function: what it imports imports Ray, which reads the environment then."""
    from emo_serving.batch.recordings import Recordings

    tasks = Recordings(str(source)).get_read_tasks(1)
    return [row for task in tasks for table in task() for row in table.to_pylist()]


def test_lines_are_rows_with_the_files_beside_them(tmp_path):
    path = tmp_path / "calls.jsonl"
    lines = [
        '{"id": 1, "text": "hola", "audio": "a.wav"}',
        "{",
        '{"text": 3}',
        '{"text": "\\udc80"}',
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    good, *bad = rows(path)
    assert good["row"] == "calls.jsonl:1"
    assert (good["id"], good["text"], good["audio"]) == ("1", "hola", str(tmp_path / "a.wav"))
    assert [row["row"] for row in bad] == [f"calls.jsonl:{number}" for number in (2, 3, 4)]
    assert all(row["error"] and row["text"] is None for row in bad)


def test_a_parquet_files_columns_are_names_of_files_or_sound(tmp_path):
    clip = (CLIPS / "queja.flac").read_bytes()
    columns = {"id": [5, None, 7], "text": ["hola", None, None], "audio": [None, clip, None]}
    pq.write_table(pa.table(columns), tmp_path / "calls.parquet")
    first, second, empty = rows(tmp_path)
    assert (first["row"], first["id"], first["text"]) == ("calls.parquet:1", "5", "hola")
    assert second["sound"] == clip
    assert "neither text nor audio" in empty["error"]
    pq.write_table(pa.table({"audio": ["a.wav"]}), tmp_path / "calls.parquet")
    assert rows(tmp_path)[0]["audio"] == str(tmp_path / "a.wav")


@pytest.mark.parametrize("columns", [{"words": ["hola"]}, {"text": [1]}, {"text": [b"hola"]}])
def test_a_parquet_file_with_other_columns(tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / "calls.parquet")
    with pytest.raises(RowError, match=r"calls\.parquet"):
        rows(tmp_path)


def test_a_folder_of_sound_files(tmp_path):
    (tmp_path / "monday").mkdir()
    for name in ("monday/b.flac", "a.WAV", "notes.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    found = rows(tmp_path)
    assert [row["row"] for row in found] == ["a.WAV", "monday/b.flac"]
    assert found[1]["audio"] == str(tmp_path / "monday/b.flac")


@pytest.mark.parametrize("name", ["", "missing.jsonl"])
def test_nothing_to_recognize(tmp_path, name):
    with pytest.raises(RowError, match="no such file"):
        rows(tmp_path / name)


def test_a_bundle_is_opened_from_a_uri_and_the_copy_goes(tmp_path):
    shutil.copytree(SMALL_BUNDLE, tmp_path / "bundle")
    with local_bundle((tmp_path / "bundle").as_uri()) as directory:
        recognizer = EmotionRecognizer.open(directory, threads=1)
        copied = recognizer.describe()["bundle"]["path"]
    assert copied != str(tmp_path / "bundle")
    with pytest.raises(BundleError, match="no such directory"):
        EmotionRecognizer.open(copied)
    assert recognizer.recognize("Qué alegría.").label


def test_a_copied_bundle_is_verified_too(tmp_path):
    bundle = shutil.copytree(SMALL_BUNDLE, tmp_path / "bundle")
    graph = bundle / "text.int8.onnx"
    graph.write_bytes(graph.read_bytes()[::-1])
    with local_bundle(bundle.as_uri()) as directory, pytest.raises(BundleError, match="sha256"):
        EmotionRecognizer.open(directory, threads=1)


def test_a_bundle_that_is_not_there(tmp_path):
    where = (tmp_path / "none").as_uri()
    with pytest.raises(BundleError, match="can't be copied"), local_bundle(where):
        pass


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("s3://key:s3creto@bucket/it?endpoint_override=127.0.0.1:1&scheme=http", "s3://bucket/it:"),
        ("s3://key:no/s3creto@bucket/it", "s3://bucket/it:"),
        ("nothing://key:s3creto@bucket/it", "nothing://bucket/it:"),
        ("abfs://it@bucket/it?client_secret=s3creto", "abfs://bucket/it:"),
    ],
)
def test_a_key_in_a_uri_is_not_repeated(where, shown):
    with pytest.raises(BundleError) as caught, local_bundle(where):
        pass
    assert str(caught.value).startswith(shown)
    assert "s3creto" not in str(caught.value)


@pytest.mark.parametrize("name", ["CALLS.JSONL", "calls.Csv"])
def test_a_tables_suffix_may_have_capitals(tmp_path, name):
    lines = {".jsonl": '{"text": "hola"}', ".csv": "text\nhola"}
    (tmp_path / name).write_text(lines[(tmp_path / name).suffix.lower()], encoding="utf-8")
    assert [row["text"] for row in rows(tmp_path)] == ["hola"]


@pytest.mark.parametrize("output", [".", "answers", "../calls/answers", "../link/answers"])
def test_answers_do_not_become_recordings(tmp_path, output):
    from emo_serving.batch.job import BatchError, run

    source = tmp_path / "calls"
    source.mkdir()
    (tmp_path / "link").symlink_to(source)
    (source / "calls.csv").write_text("text\nhola", encoding="utf-8")
    with pytest.raises(BatchError, match="elsewhere"):
        run(str(source), str(source / output), 1, (None, None, {}))


def test_wrong_columns_are_reported_before_the_job(tmp_path):
    from emo_serving.batch.job import run

    for name, content in (("a.csv", b"words\nhola"), ("b.parquet", b"not a Parquet file")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RowError, match=r"no column|not a Parquet file"):
            run(str(tmp_path / name), str(tmp_path / "answers"), 1, (None, None, {}))


def test_a_mistyped_bundle_is_reported_before_a_cluster_starts(tmp_path, monkeypatch):
    monkeypatch.setattr("emo_serving.batch.predict.cluster", None)
    options = {"task": None, "workers": 1, "opening": {}}
    with pytest.raises(BundleError, match="no such directory"):
        predict_recordings("calls.csv", str(tmp_path), bundle=str(tmp_path / "none"), **options)


def test_only_the_message_of_a_workers_error_is_reported():
    from ray.exceptions import RayError, RayTaskError

    from emo_serving.batch.job import _reason

    cause = RowError("calls.csv: has no columns.\nTo change retry attempts, ...")
    remote = RayTaskError("read", "Traceback ...", cause)
    assert _reason(remote) == "calls.csv: has no columns."
    assert _reason(remote.as_instanceof_cause()) == "calls.csv: has no columns."
    assert _reason(RayError("lost")) == "lost"
