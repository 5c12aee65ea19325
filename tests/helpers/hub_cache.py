"""The layout of the Hub client's cache."""

from pathlib import Path

_COMMIT = "abc123"


def snapshot(cache: Path, hub_id: str) -> Path:
    """Return where the cache has the files of a model, and make that its current commit.

    The directory itself is not made.
    """
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(_COMMIT)
    return repository / "snapshots" / _COMMIT
