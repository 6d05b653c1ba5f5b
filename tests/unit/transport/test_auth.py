"""Credentials are put where the scheme says, and a missing one is told without telling any."""

from __future__ import annotations

import pytest

from imageway.core.upstreams import Upstream
from imageway.transport.auth import Credential, MissingCredential, scheme


def upstream(auth: str, key: str = "sk-test-1", **values: str) -> Upstream:
    return Upstream(
        id="one", provider="p", base_url="https://a.example", auth=auth, secrets={"key": key}, values=values
    )


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        (upstream("bearer"), Credential(headers=(("authorization", "Bearer sk-test-1"),))),
        (upstream("google_api_key"), Credential(headers=(("x-goog-api-key", "sk-test-1"),))),
        (upstream("google_jwt"), Credential(headers=(("x-goog-api-key", "sk-test-1"),))),
        (upstream("header", auth_header="X-Token"), Credential(headers=(("x-token", "sk-test-1"),))),
        (upstream("query_key"), Credential(query=(("key", "sk-test-1"),))),
        (upstream("query_key", auth_query="token"), Credential(query=(("token", "sk-test-1"),))),
    ],
)
def test_each_scheme_has_its_place(configured: Upstream, expected: Credential) -> None:
    assert scheme(configured.auth)(configured) == expected


@pytest.mark.parametrize("name", ["", "basic", "Bearer", "os", "..bearer", "__init__"])
def test_an_unknown_scheme_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(
        ValueError, match="is not an authentication scheme: write one of bearer, google_api_key, google_jwt, header"
    ):
        scheme(name)


@pytest.mark.parametrize("key", ["", "sk-test\r\nx-evil: 1", "sk-test\n", "schlüssel"])
def test_a_secret_that_cannot_travel_is_told_and_not_shown(key: str) -> None:
    with pytest.raises(MissingCredential) as missing:
        scheme("bearer")(upstream("bearer", key))
    assert 'upstream "one"' in str(missing.value)
    assert not key or key not in str(missing.value)


def test_a_scheme_that_needs_a_value_says_which() -> None:
    with pytest.raises(MissingCredential, match='needs the value "auth_header" for its scheme "header"'):
        scheme("header")(upstream("header"))
