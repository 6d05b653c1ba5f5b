"""What of a URL decides on the connection, and what is asked for there."""

from __future__ import annotations

import pytest

from imageway.transport.origins import Origin, locate


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://a.example/v1/images", Origin("a.example", 443, True, "a.example", False), "/v1/images"),
        ("http://a.example:80/?q=http://b.example/", Origin("a.example", 80, False, "a.example", False), "/?q=http://b.example/"),
        ("http://A.example:8080", Origin("a.example", 8080, False, "a.example:8080", False), "/"),
        ("http://127.0.0.1:9000/a%2Fb", Origin("127.0.0.1", 9000, False, "127.0.0.1:9000", True), "/a%2Fb"),
        ("https://[2606:4700::1]/x", Origin("2606:4700::1", 443, True, "[2606:4700::1]", True), "/x"),
        ("https://[2606:4700::1]:444/", Origin("2606:4700::1", 444, True, "[2606:4700::1]:444", True), "/"),
        ("http://127.1/", Origin("127.1", 80, False, "127.1", False), "/"),
    ],
)  # fmt: skip
def test_a_url_names_an_origin_and_a_target(url: str, origin: Origin, target: str) -> None:
    assert locate(url) == (origin, target)


@pytest.mark.parametrize(
    "url",
    ["", "/a", "a.example/x", "ftp://a.example/", "http:///a", "http://", "http://a:b/", "http://a?b", "http://a#b/"],
)
def test_what_names_nobody_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"host|[Pp]ort"):
        locate(url)
