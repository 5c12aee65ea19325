"""Directories that an export must not replace."""

from pathlib import Path

import pytest

from emo_export.packaging.target import check_target
from emo_runtime.bundle.manifest import MANIFEST_NAME
from emo_runtime.errors import EmoError


@pytest.mark.parametrize("force", [False, True])
def test_a_new_or_empty_directory_is_accepted(tmp_path: Path, force: bool) -> None:
    check_target(tmp_path / "new", force=force)
    check_target(tmp_path, force=force)


def test_an_export_is_replaced_with_force_only(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).touch()
    check_target(tmp_path, force=True)
    with pytest.raises(EmoError, match=r"already holds an export\. --force replaces it"):
        check_target(tmp_path, force=False)


def test_other_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(EmoError, match="other files than an export"):
        check_target(tmp_path, force=True)


def test_files_and_links_are_no_targets(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(EmoError, match="not a directory"):
            check_target(tmp_path / name, force=True)
