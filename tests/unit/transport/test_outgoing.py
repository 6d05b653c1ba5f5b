"""What leaves: the adapter's words, our own headers, the credential for whom it is meant, an exact length."""

from __future__ import annotations

import dataclasses

import pytest

from imageway.bodies import blob_of
from imageway.core.steps import FormBody, FormFile, HttpRequest, JsonBody, Secret
from imageway.core.upstreams import Upstream
from imageway.transport.auth import MissingCredential
from imageway.transport.outgoing import compose, join
from imageway.transport.wire import Outgoing

UPSTREAM = Upstream(
    id="one",
    provider="p",
    base_url="https://a.example/v1",
    auth="bearer",
    secrets={"key": "sk-test-1", "account": "acc-test-2"},
)
URL = "https://a.example/v1/images"


async def body_of(outgoing: Outgoing) -> bytes:
    assert outgoing.payload is not None
    return b"".join([chunk async for chunk in outgoing.payload.chunks()])


async def test_a_json_request_is_whole() -> None:
    outgoing = compose(URL, HttpRequest("POST", "/images", JsonBody({"prompt": "a cat"})), UPSTREAM)
    body = await body_of(outgoing)
    assert body == b'{"prompt":"a cat"}'
    assert outgoing.url == URL
    assert outgoing.headers == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "imageway",
        "authorization": "Bearer sk-test-1",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    assert not outgoing.left


async def test_a_form_has_an_exact_length_and_its_own_boundary() -> None:
    form = FormBody((("prompt", "a cat"), ("image", FormFile(blob_of(b"\x89PNG"), "a.png", "image/png"))))
    first, second = (compose(URL, HttpRequest("POST", "/images", form), UPSTREAM) for _ in range(2))
    assert len(await body_of(first)) == int(first.headers["content-length"])
    assert first.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert first.headers["content-type"] != second.headers["content-type"]


def test_secrets_are_filled_in_where_the_adapter_placed_them() -> None:
    request = HttpRequest(
        "GET",
        "/x",
        headers={"X-Account": Secret("account"), "x-plain": "1"},
        query={"k": Secret("key"), "q": "a b&c/d"},
    )
    outgoing = compose(URL, request, UPSTREAM)
    assert outgoing.headers["x-account"] == "acc-test-2"
    assert outgoing.headers["x-plain"] == "1"
    assert outgoing.url == "https://a.example/v1/images?k=sk-test-1&q=a%20b%26c%2Fd"
    assert outgoing.payload is None
    assert "content-length" not in outgoing.headers


def test_a_stranger_sees_no_secret_of_any_kind() -> None:
    request = HttpRequest("GET", "/x", headers={"x-account": Secret("account")}, query={"k": Secret("key"), "q": "1"})
    outgoing = compose(URL, request, None)
    assert "test" not in f"{outgoing.url} {outgoing.headers}"
    assert outgoing.url == f"{URL}?q=1"


def test_a_secret_that_is_not_there_is_no_request() -> None:
    with pytest.raises(MissingCredential, match='no secret named "account"'):
        compose(
            URL,
            HttpRequest("GET", "/x", headers={"x": Secret("account")}),
            dataclasses.replace(UPSTREAM, secrets={"key": "k"}),
        )


def test_the_credential_wins_over_what_an_adapter_wrote() -> None:
    outgoing = compose(URL, HttpRequest("GET", "/x", headers={"Authorization": "Bearer other"}), UPSTREAM)
    assert outgoing.headers["authorization"] == "Bearer sk-test-1"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/images", "/v1/images"),
        ("/models/m:generate?alt=sse", "/v1/models/m:generate?alt=sse"),
        ("/tasks/a%2Fb", "/v1/tasks/a%2Fb"),
        ("/tasks/ü d\r\n", "/v1/tasks/%C3%BC%20d%0D%0A"),
        ("/tasks/\ud800", "/v1/tasks/%5Cud800"),
        ("/tasks/a#b", "/v1/tasks/a%23b"),
        ("/tasks/@other.example", "/v1/tasks/@other.example"),
    ],
)
def test_a_path_stays_below_its_root(path: str, sent: str) -> None:
    assert join("https://a.example/v1", path) == f"https://a.example{sent}"


def test_a_query_is_added_to_the_one_in_the_path() -> None:
    outgoing = compose(join("https://a.example", "/m?alt=sse"), HttpRequest("GET", "", query={"x": "1"}), UPSTREAM)
    assert outgoing.url == "https://a.example/m?alt=sse&x=1"
