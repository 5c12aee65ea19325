"""Signatures: required, wrong, missing, by another key; made and checked by cryptography too."""

import builtins
import subprocess

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from emo_runtime import BundleError, EmotionRecognizer, MissingExtraError
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.bundle.signature import sign_bundle
from emo_runtime.cli.bundle import main


def write_keys(folder, name="key", key=None):
    key = key or ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.public.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture
def keys(tmp_path):
    return write_keys(tmp_path)


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_signed_bundle_opens_with_its_key(own_bundle, keys):
    private, public = keys
    bundle = own_bundle()
    assert not open_bundle(bundle).signed
    assert run("sign", bundle, "--key", private).exit_code == 0
    assert open_bundle(bundle, public).signed
    with EmotionRecognizer.open(bundle, public_key=public) as recognizer:
        assert recognizer.recognize("hola").label
    checked = run("verify", bundle, "--public-key", public)
    assert checked.exit_code == 0
    assert "The signature was made with the key" in checked.output


def test_the_signature_is_ed25519s_over_the_manifest(own_bundle, keys):
    private, public = keys
    bundle = own_bundle()
    sign_bundle(bundle, private)
    key = serialization.load_pem_public_key(public.read_bytes())
    assert isinstance(key, ed25519.Ed25519PublicKey)
    key.verify((bundle / "manifest.sig").read_bytes(), (bundle / "manifest.json").read_bytes())


def test_without_a_required_key_a_signature_is_no_obstacle(own_bundle, keys):
    bundle = own_bundle()
    sign_bundle(bundle, keys[0])
    assert EmotionRecognizer.open(bundle).recognize("hola").label


def test_a_missing_signature_is_refused(own_bundle, keys):
    with pytest.raises(BundleError, match=r"has no manifest\.sig"):
        open_bundle(own_bundle(), keys[1])


def test_a_signature_by_another_key_is_refused(own_bundle, keys, tmp_path):
    bundle = own_bundle()
    sign_bundle(bundle, write_keys(tmp_path, "other")[0])
    with pytest.raises(BundleError, match="not the signature"):
        open_bundle(bundle, keys[1])


@pytest.mark.parametrize("damaged", ["manifest.json", "manifest.sig"])
def test_a_byte_changed_after_signing_is_refused(own_bundle, keys, damaged):
    bundle = own_bundle()
    sign_bundle(bundle, keys[0])
    data = bytearray((bundle / damaged).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / damaged).write_bytes(data)
    with pytest.raises(BundleError, match="not the signature"):
        open_bundle(bundle, keys[1])


@pytest.mark.parametrize("length", [0, 63, 65, 5000])
def test_a_signature_of_another_length_is_refused(own_bundle, keys, length):
    bundle = own_bundle()
    (bundle / "manifest.sig").write_bytes(bytes(length))
    with pytest.raises(BundleError, match="not the signature"):
        open_bundle(bundle, keys[1])


def test_invalid_keys(own_bundle, keys, tmp_path):
    private, public = keys
    bundle = own_bundle()
    sign_bundle(bundle, private)
    curve_private, curve_public = write_keys(
        tmp_path, "curve", ec.generate_private_key(ec.SECP256R1())
    )
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no key")
    for key in (private, curve_public, nonsense):
        with pytest.raises(BundleError, match="not an ed25519 public key"):
            open_bundle(bundle, key)
    for key in (public, curve_private, nonsense):
        with pytest.raises(BundleError, match="not an ed25519 private key"):
            sign_bundle(bundle, key)
    with pytest.raises(BundleError, match="can't be read"):
        open_bundle(bundle, tmp_path / "missing.pem")


def test_signing_leaves_nothing_beside_the_bundle(own_bundle, keys, tmp_path):
    bundle = own_bundle()
    before = sorted(entry.name for entry in bundle.parent.iterdir())
    assert run("sign", bundle, "--key", keys[0]).exit_code == 0
    assert sorted(entry.name for entry in bundle.parent.iterdir()) == before


def test_a_damaged_bundle_is_not_signed(own_bundle, keys):
    bundle = own_bundle()
    (bundle / "CARD.md").write_text("another card", encoding="utf-8")
    result = run("sign", bundle, "--key", keys[0])
    assert result.exit_code == 1
    assert not (bundle / "manifest.sig").exists()


def test_without_the_extra(own_bundle, keys, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"emo-runtime\[sign\]"):
        open_bundle(own_bundle(), keys[1])


def test_keys_made_as_the_message_says(own_bundle, tmp_path):
    key, public = tmp_path / "openssl.pem", tmp_path / "openssl.public.pem"
    try:
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, timeout=60
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    subprocess.run(
        ["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, timeout=60
    )
    bundle = own_bundle()
    sign_bundle(bundle, key)
    assert open_bundle(bundle, public).signed


def test_diff_of_bundles(tiny_bundle):
    same = run("diff", tiny_bundle(), tiny_bundle())
    assert same.output.strip() == "The bundles are equal."
    other = run("diff", tiny_bundle(), tiny_bundle(n_mfcc=56))
    assert other.exit_code == 0
    assert "audio.n_mfcc: 128 -> 56" in other.output
