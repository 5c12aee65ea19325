"""A bundle's directory must match its manifest exactly; the default bundle."""

import hashlib
import importlib.metadata
import os
import shutil
import sys
from pathlib import Path

import pytest

from emo_runtime import BundleError, EmotionRecognizer
from emo_runtime.bundle import reader as bundle_module
from emo_runtime.bundle.manifest import MAX_MANIFEST_BYTES, File
from emo_runtime.bundle.reader import default_bundle, open_bundle
from helpers.mutate import edit_manifest, flip_byte, replace_file

FILES = ["text.fp32.onnx", "fusion.fp32.onnx", "tokenizer.json", "golden.json", "CARD.md"]


def test_a_whole_bundle_is_verified(tiny_bundle):
    path = tiny_bundle()
    bundle = open_bundle(path)
    bundle.verify()
    assert bundle.sha256 == hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    assert sorted(file.file for file in bundle.manifest.files()) == sorted(FILES)
    assert bundle.read(bundle.manifest.card) == (path / "CARD.md").read_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_byte_is_found(own_bundle, name, place):
    path = own_bundle()
    size = (path / name).stat().st_size
    flip_byte(path / name, {"first": 0, "middle": size // 2, "last": size - 1}[place])
    with pytest.raises(BundleError, match=rf"^{name}: sha256 differs from the manifest"):
        open_bundle(path).verify()


@pytest.mark.parametrize("name", FILES[:3])
def test_a_recognizer_does_not_open_it_either(own_bundle, name):
    path = own_bundle()
    flip_byte(path / name, 100)
    with pytest.raises(BundleError, match=f"^{name}: sha256 differs"):
        EmotionRecognizer.open(path)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file(own_bundle, name):
    path = own_bundle()
    (path / name).unlink()
    with pytest.raises(BundleError, match=name):
        open_bundle(path)


@pytest.mark.parametrize("name", ["model.py", ".hidden", "text.fp32.onnx.data", "CARD.md~"])
def test_an_unlisted_file(own_bundle, name):
    path = own_bundle()
    (path / name).write_bytes(b"")
    with pytest.raises(BundleError, match=f"{name!r} is not listed"):
        open_bundle(path)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "FIFO", "directory", "device"])
def test_only_regular_files(own_bundle, tmp_path, name, kind):
    path = own_bundle()
    file = path / name
    shutil.move(file, tmp_path / "elsewhere")
    if kind == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif kind == "dangling link":
        file.symlink_to(tmp_path / "nowhere")
    elif kind == "FIFO":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    else:
        try:
            os.mknod(file, 0o600 | 0o020000, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("making a device needs the privilege")
    with pytest.raises(BundleError, match=r"is a link|not a regular file|can't be opened"):
        open_bundle(path).verify()


@pytest.mark.parametrize("lie", [-1, 1, 1 << 30])
def test_wrong_sizes(own_bundle, lie):
    path = own_bundle()

    def change(document):
        document["graphs"]["text"]["variants"]["fp32"]["bytes"] += lie

    edit_manifest(path, change)
    with pytest.raises(BundleError, match=r"^text\.fp32\.onnx: [\d,]+ bytes, expected"):
        open_bundle(path).verify()


def test_an_empty_file_is_read(own_bundle):
    path = replace_file(own_bundle(), "CARD.md", b"")
    bundle = open_bundle(path)
    bundle.verify()
    assert bundle.read(bundle.manifest.card) == b""


def test_a_file_that_grows_while_it_is_read_is_refused(own_bundle, monkeypatch):
    path = own_bundle()
    bundle = open_bundle(path)
    read = os.read

    def growing(descriptor, count):
        with open(path / "CARD.md", "ab") as file:
            file.write(b"more")
        return read(descriptor, count)

    monkeypatch.setattr(os, "read", growing)
    with pytest.raises(BundleError, match=r"^CARD\.md: sha256 differs"):
        bundle.read(bundle.manifest.card)


def test_what_is_opened_is_what_was_hashed(own_bundle):
    path = own_bundle()
    bundle = open_bundle(path)
    file = bundle.manifest.graphs["text"].variants["fp32"]
    before = (path / file.file).read_bytes()
    with bundle.verified(file) as verified:
        (path / file.file).write_bytes(b"exchanged")
        assert bytes(verified.data) == before
        assert isinstance(verified.source, str)
        assert Path(verified.source).read_bytes() == before
        with pytest.raises(OSError, match="not permitted"):
            Path(verified.source).write_bytes(b"exchanged")


def test_the_memory_file_is_closed_afterwards(tiny_bundle):
    bundle = open_bundle(tiny_bundle())
    before = len(list(Path("/proc/self/fd").iterdir()))
    bundle.verify()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_other_platforms_read_bytes(own_bundle, monkeypatch):
    path = own_bundle()
    monkeypatch.setattr(sys, "platform", "darwin")
    bundle = open_bundle(path)
    with bundle.verified(bundle.manifest.card) as verified:
        assert verified.source == bytes(verified.data) == (path / "CARD.md").read_bytes()
    assert EmotionRecognizer.open(path).recognize("no puedo más").label
    flip_byte(path / "CARD.md", 0)
    with pytest.raises(BundleError, match="sha256 differs"):
        bundle.verify()


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_no_bundle_at_all(tmp_path, kind):
    path = tmp_path / "bundle"
    if kind == "file":
        path.write_text("x")
    elif kind == "empty":
        path.mkdir()
    with pytest.raises(BundleError, match=r"no such directory|manifest\.json"):
        open_bundle(path)


def test_a_huge_manifest_is_not_read(own_bundle):
    path = own_bundle()
    with open(path / "manifest.json", "wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(BundleError, match=f"at most {MAX_MANIFEST_BYTES:,}"):
        open_bundle(path)


def test_a_directory_that_may_not_be_listed(monkeypatch, tiny_bundle):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    path = tiny_bundle()
    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(BundleError, match="can't be listed: Permission denied"):
        open_bundle(path)


class FakeEntry:
    def __init__(self, value, name=bundle_module.DEFAULT):
        self.value = value
        self.name = name


@pytest.fixture
def entry_points(monkeypatch):
    found = []

    def lookup(*, group, name=None):
        assert group == "emo_runtime.bundles"
        return [entry for entry in found if name in (entry.name, None)]

    monkeypatch.setattr(importlib.metadata, "entry_points", lookup)
    return found


def test_the_default_is_found_without_an_import(tiny_bundle, tmp_path, monkeypatch, entry_points):
    package = tmp_path / "emo_elsewhere"
    (package / "bundles").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('must not be imported')")
    shutil.copytree(tiny_bundle(), package / "bundles" / "own")
    monkeypatch.syspath_prepend(tmp_path)
    entry_points.append(FakeEntry("emo_elsewhere.bundles.own"))
    assert default_bundle() == package / "bundles" / "own"
    assert open_bundle().manifest.name == "tiny"
    assert "emo_elsewhere" not in sys.modules


def test_an_installed_bundle_is_found_by_its_name(tiny_bundle, tmp_path, monkeypatch, entry_points):
    package = tmp_path / "emo_elsewhere"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(tiny_bundle(n_mfcc=56), package / "call_centre")
    monkeypatch.syspath_prepend(tmp_path)
    entry_points.append(FakeEntry("emo_elsewhere.call_centre", "call-centre"))
    assert open_bundle("call-centre").path == package / "call_centre"
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle(), tmp_path / "call-centre")  # a directory takes precedence
    assert open_bundle("call-centre").manifest.audio.n_mfcc != 56
    with pytest.raises(
        BundleError, match=r"elsewhere: no such directory.*\(installed: call-centre\)"
    ):
        open_bundle("elsewhere")


@pytest.mark.parametrize("value", ["no_such_package_anywhere.bundle", "json.decoder", "os"])
def test_no_default_is_installed(entry_points, value):
    entry_points.append(FakeEntry(value))
    with pytest.raises(BundleError, match="no default bundle is installed"):
        open_bundle()


def test_nothing_but_the_listed_name_is_read(tiny_bundle):
    bundle = open_bundle(tiny_bundle())
    with pytest.raises(BundleError, match="can't be opened"):
        bundle.read(File(file="other.onnx", sha256="0" * 64, bytes=0))
