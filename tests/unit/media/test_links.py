"""Links to stored images: only a genuine one opens, only until it expires, and nothing about it can be changed."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.media.links import LinkSigner, Verdict

NOW_MS = 1_760_000_000_000
NAME = "req_abc-0.png"
SIGNER = LinkSigner("https://images.example", "k2", {"k1": b"an old secret", "k2": b"the present secret"})


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def signed(name: str = NAME, expires_ms: int = NOW_MS + 60_000) -> dict[str, str]:
    return query_of(SIGNER.sign(name, expires_ms))


def test_a_link_opens_until_it_expires() -> None:
    query = signed(expires_ms=NOW_MS + 60_000)
    assert SIGNER.verify(NAME, query, NOW_MS) is Verdict.VALID
    assert SIGNER.verify(NAME, query, NOW_MS + 59_999) is Verdict.VALID
    assert SIGNER.verify(NAME, query, NOW_MS + 60_000) is Verdict.EXPIRED


def test_a_link_says_where_when_and_by_which_key() -> None:
    url = urlsplit(SIGNER.sign(NAME, NOW_MS))
    assert (url.scheme, url.netloc, url.path) == ("https", "images.example", f"/media/{NAME}")
    assert query_of(url.geturl()).keys() == {"expires", "key", "signature"}
    assert query_of(url.geturl())["key"] == "k2"


@pytest.mark.parametrize("field", ["expires", "key", "signature"])
def test_a_link_without_one_of_its_fields_is_tampered_with(field: str) -> None:
    query = signed()
    del query[field]
    assert SIGNER.verify(NAME, query, NOW_MS) is Verdict.TAMPERED


@pytest.mark.parametrize(
    "change",
    [
        {"expires": "1860000000"},
        {"expires": "-1"},
        {"expires": "1e99"},
        {"expires": "١٧"},
        {"expires": "9" * 10_000},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "ü" * 64},
        {"key": "k1"},
        {"key": "k9"},
        {"key": ""},
    ],
)
def test_a_changed_link_is_tampered_with(change: dict[str, str]) -> None:
    assert SIGNER.verify(NAME, signed() | change, NOW_MS) is Verdict.TAMPERED


def test_a_signature_opens_no_other_name() -> None:
    assert SIGNER.verify("req_abc-1.png", signed(), NOW_MS) is Verdict.TAMPERED


def test_a_name_cannot_borrow_from_the_expiry() -> None:
    """The two are signed apart: no name that ends in digits passes for a shorter one that lives longer."""
    query = signed("picture", expires_ms=NOW_MS + 1000)
    moved = query | {"expires": query["expires"][1:]}
    assert SIGNER.verify("picture" + query["expires"][0], moved, 0) is Verdict.TAMPERED


def test_what_was_tampered_with_is_not_called_expired() -> None:
    """Nobody learns from us whether a name ever was one."""
    old = signed(expires_ms=NOW_MS - 60_000)
    assert SIGNER.verify(NAME, old, NOW_MS) is Verdict.EXPIRED
    assert SIGNER.verify("another", old, NOW_MS) is Verdict.TAMPERED


def test_a_retired_signing_key_opens_its_links_until_it_is_forgotten() -> None:
    query = query_of(LinkSigner(SIGNER.public_url, "k1", SIGNER.keys).sign(NAME, NOW_MS + 1000))
    assert SIGNER.verify(NAME, query, NOW_MS) is Verdict.VALID
    forgotten = LinkSigner(SIGNER.public_url, "k2", {"k2": SIGNER.keys["k2"]})
    assert forgotten.verify(NAME, query, NOW_MS) is Verdict.TAMPERED


def test_a_link_of_ours_names_what_is_stored() -> None:
    assert SIGNER.name_in(SIGNER.sign(NAME, NOW_MS + 1000), NOW_MS) == NAME


@pytest.mark.parametrize(
    "url",
    [
        SIGNER.sign(NAME, NOW_MS - 1000),
        SIGNER.sign(NAME, NOW_MS + 1000).replace("https://images.example", "https://images.example.evil.test"),
        SIGNER.sign(NAME, NOW_MS + 1000).replace("https", "http"),
        SIGNER.sign(NAME, NOW_MS + 1000).replace("-0", "-1"),
        SIGNER.sign(NAME, NOW_MS + 1000).replace("images.example", "images.example@evil.test"),
        "https://images.example/media/",
        "https://images.example/other",
        "https://images.example/media/[",
        "",
    ],
)
def test_every_other_url_is_a_strangers(url: str) -> None:
    assert SIGNER.name_in(url, NOW_MS) is None


def test_only_a_genuine_link_has_expired() -> None:
    old = SIGNER.sign(NAME, NOW_MS - 1000)
    assert SIGNER.has_expired(old, NOW_MS)
    for url in (SIGNER.sign(NAME, NOW_MS + 1000), old.replace("-0", "-1"), old.replace("https", "http"), ""):
        assert not SIGNER.has_expired(url, NOW_MS)


@given(st.text(), st.dictionaries(st.sampled_from(["expires", "key", "signature"]), st.text()))
def test_nothing_made_up_ever_opens_or_crashes(name: str, query: dict[str, str]) -> None:
    assert SIGNER.verify(name, query, NOW_MS) is Verdict.TAMPERED


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(SIGNER)
