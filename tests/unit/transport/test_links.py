"""URLs are read strictly: one spelling per meaning, and what a signer escaped stays as he escaped it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.core.failures import FetchRefused
from imageway.transport.links import authorities, origin_of, read_link
from imageway.transport.origins import locate


@pytest.mark.parametrize(
    ("text", "origin", "sent"),
    [
        ("http://example.com", "http://example.com:80", "/"),
        ("https://example.com/a.png", "https://example.com:443", "/a.png"),
        ("HTTPS://EXAMPLE.com:443/A", "https://example.com:443", "/A"),
        ("http://example.com?x=1", "http://example.com:80", "/?x=1"),
        ("http://example.com/a#part", "http://example.com:80", "/a"),
        ("http://example.com:8080/", "http://example.com:8080", "/"),
        ("http://a_b.example.com./", "http://a_b.example.com.:80", "/"),
        ("http://xn--bcher-kva.example/", "http://xn--bcher-kva.example:80", "/"),
        ("http://8.8.8.8/x", "http://8.8.8.8:80", "/x"),
        ("http://[2606:4700:0::1111]/x", "http://[2606:4700::1111]:80", "/x"),
        ("http://[::FFFF:127.0.0.1]:80/", "http://[::ffff:7f00:1]:80", "/"),
        ("https://b.example/é.png?q=ü", "https://b.example:443", "/%C3%A9.png?q=%C3%BC"),
        (
            "https://b.example/%2F%2f+?sig=a%2Bb%3D+c=&z={}",
            "https://b.example:443",
            "/%2F%2f+?sig=a%2Bb%3D+c=&z=%7B%7D",
        ),
        ("http://example.com/@user:p@ss", "http://example.com:80", "/@user:p@ss"),
    ],
)
def test_what_a_url_means(text: str, origin: str, sent: str) -> None:
    link = read_link(text)
    assert link.origin == origin
    place, target = locate(link.url)
    assert (place.host, place.port, target) == (link.host, link.port, sent)
    assert place.secure is (link.scheme == "https")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/a.png",
        "//example.com/a.png",
        "/a.png",
        "ftp://example.com/a.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http:example.com",
        "http:/example.com",
        "http:///a.png",
        "http://?",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://@example.com/",
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        "http://example.com\\.evil.example/",
        "http://exa mple.com/",
        " http://example.com/",
        "http://example.com/ ",
        "http://exam\tple.com/",
        "http://example.com/\r\nHost: evil",
        "http://example.com\0/",
        "http://example.com/\ud800",
        "http://example.com:/",
        "http://example.com:port/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:99999999999/",
        "http://example.com:８０/",
        "http://.example.com/",
        "http://example..com/",
        "http://example.com../",
        "http://-a.example/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
        "http://bücher.example/",
        "http://ｅxample.com/",
        "http://ex%61mple.com/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://127.0.0.256/",
        "http://127.0.0.01/",
        "http://example.0x/",
        "http://example.1/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[fe80::1%25eth0]/",
        "http://[example.com]/",
        "http://[:::]/",
        "http://example.com/" + "a" * 9000,
    ],
)
def test_a_url_that_could_mean_two_things_is_refused(text: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        read_link(text)
    assert refused.value.code == "invalid_image_url"


@given(st.one_of(st.text(), st.text("htps:/@.[]0123456789abcdefx%\\?#-_").map("http://".__add__)))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    """No other error comes out, and what is accepted reads the same a second time."""
    try:
        link = read_link(text)
    except FetchRefused:
        return
    again = read_link(link.url)
    assert (again.origin, again.url) == (link.origin, link.url)


def test_origins_compare_whatever_the_operator_left_out() -> None:
    assert origin_of("https://API.example.com/v1") == "https://api.example.com:443"
    assert origin_of("http://127.0.0.1:8500/openai/v1") == "http://127.0.0.1:8500"
    with pytest.raises(ValueError, match=r'"api\.example\.com" cannot be used'):
        origin_of("api.example.com")


def test_an_allowed_host_without_a_port_means_both_usual_ones() -> None:
    assert authorities("images.internal") == ("images.internal:80", "images.internal:443")
    assert authorities("127.0.0.1:9000") == ("127.0.0.1:9000",)
    assert authorities("[::1]:9000") == ("[::1]:9000",)
    with pytest.raises(ValueError, match='"user@host" cannot be used'):
        authorities("user@host")


@pytest.mark.parametrize("url", ["http://user:pass-word@host/v1", "https://pass-word@host"])
def test_an_operators_password_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be used") as caught:
        origin_of(url)
    assert "pass-word" not in str(caught.value)
    assert "host" in str(caught.value)
