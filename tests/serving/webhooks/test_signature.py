"""Signatures, verified by the library of Standard Webhooks."""

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from emo_serving.webhooks.signature import WebhookError, check_secret, read_secret_file, sign
from helpers.corpora import ROOT
from helpers.markdown import read_blocks

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = '{"type": "call.emotion", "palabra": "vergüenza"}'.encode()


def test_the_reference_library_accepts_a_signature():
    headers = sign(SECRET, "msg_1", int(time.time()), BODY)
    assert Webhook(SECRET).verify(BODY, headers)["palabra"] == "vergüenza"


@pytest.mark.parametrize(
    ("secret", "message_id", "age_s", "body"),
    [
        ("whsec_" + base64.b64encode(bytes(32)).decode(), "msg_1", 0, BODY),
        (SECRET, "msg_2", 0, BODY),
        (SECRET, "msg_1", 0, BODY + b" "),
        (SECRET, "msg_1", 3600, BODY),
    ],
    ids=["secret", "id", "old", "body"],
)
def test_it_refuses_a_signature_of_something_else(secret, message_id, age_s, body):
    headers = sign(secret, message_id, int(time.time()) - age_s, body)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, headers | {"webhook-id": "msg_1"})


def test_the_example_of_the_specification():
    """From https://github.com/standard-webhooks/standard-webhooks, libraries/python/tests."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    headers = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-signature"] == expected


@pytest.mark.parametrize(
    "secret", ["", "secret", SECRET.removeprefix("whsec_"), "whsec_%%", "whsec_c2hvcnQ="]
)
def test_a_weak_or_malformed_secret_is_refused(secret, tmp_path):
    with pytest.raises(WebhookError, match="token_bytes"):
        check_secret(secret, "here")
    (tmp_path / "secret").write_text(secret)
    with pytest.raises(WebhookError, match="secret: not a secret"):
        read_secret_file(tmp_path / "secret")
    (tmp_path / "secret").write_text(SECRET + "\n")
    assert read_secret_file(tmp_path / "secret") == SECRET


def test_the_documented_verification():
    blocks = read_blocks(ROOT / "docs" / "operate" / "serving.md")
    [code] = [block.code for block in blocks if "def verify(" in block.code]
    names: dict = {}
    exec(code, names)
    now = int(time.time())
    assert names["verify"](SECRET, sign(SECRET, "msg_1", now, BODY), BODY)
    assert not names["verify"](SECRET, sign(SECRET, "msg_1", now, BODY), BODY + b" ")
    assert not names["verify"](SECRET, sign(SECRET, "msg_1", now - 400, BODY), BODY)
