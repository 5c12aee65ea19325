"""URLs of webhooks, and the origins that a call may name."""

import pytest

from emo_serving.webhooks.signature import WebhookError
from emo_serving.webhooks.urls import check_call_url, check_origin, check_url, origin_of


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://crm.example/events?a=b", "https://crm.example:443"),
        ("HTTPS://CRM.example:443/", "https://crm.example:443"),
        ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
    ],
)
def test_the_origin_of_a_url(url, origin):
    assert origin_of(check_url(url)) == origin


@pytest.mark.parametrize(
    "url",
    [
        *("", "crm.example", "ftp://crm.example/", "file:///etc/passwd", "https://", "https:///x"),
        *("https://user:secret@crm.example/", "https://crm.example/#x", "https://crm.example:x/"),
        *("https://crm.example\\@evil.example/", "https://crm.example/\r\nX: y", "https://ñ.es/"),
        *("https://[::1/", "https://crm.example/ x", "https://crm.example/" + "a" * 2048),
    ],
)
def test_other_urls_are_refused(url):
    with pytest.raises(WebhookError):
        check_url(url)


def test_a_call_may_name_allowed_origins_only():
    origins = {check_origin("https://crm.example")}
    assert check_call_url("https://crm.example/a", origins) == "https://crm.example/a"
    for url in ("http://crm.example/", "https://crm.example:8443/", "https://crm.example.evil/"):
        with pytest.raises(WebhookError, match="not allowed"):
            check_call_url(url, origins)
    for origin in ("https://crm.example/path", "https://crm.example?x", "crm.example"):
        with pytest.raises(WebhookError):
            check_origin(origin)
