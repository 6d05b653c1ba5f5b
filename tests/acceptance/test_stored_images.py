"""Stored images by key, over HTTP: what their workspace gets, what anybody else gets, and what is left once they are
deleted."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.integration.processes import (
    Answer,
    House,
    Process,
    answer_of,
    assert_told,
    call,
    clean_environment,
    exchange,
)

MODEL = "gpt-image-1"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house") / "data", clean_environment(), ("--sandbox",))
    house.fund("50")
    yield house
    house.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


def send(url: str, method: str = "GET", *, key: str = "", **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=sent), timeout=30) as reply:
            return Answer(reply.status, {n.lower(): v for n, v in reply.headers.items()}, reply.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, {n.lower(): v for n, v in error.headers.items()}, error.read())


@pytest.fixture
def made(gateway: Process, house: House) -> tuple[str, list[str]]:
    """Two pictures of a task of their own: its id, and their links."""
    body = {"model": MODEL, "prompt": "a fox", "quality": "low", "n": 2, "response_format": "url"}
    answer = call(f"{gateway.url}/v1/images/generations", body, key=house.key)
    assert answer.status == 200, answer.content[:500]
    return answer.json["request_id"], [item["url"] for item in answer.json["data"]]


def image_url(gateway: Process, link: str) -> str:
    """Where the image of a link is by key, by its name without the ending."""
    name = urlsplit(link).path.removeprefix("/media/").partition(".")[0]
    return f"{gateway.url}/v1/images/{name}"


def task(gateway: Process, house: House, task_id: str) -> Any:
    return call(f"{gateway.url}/v1/tasks/{task_id}", key=house.key).json


def test_an_image_comes_by_key_as_it_comes_by_its_link(
    gateway: Process, house: House, made: tuple[str, list[str]]
) -> None:
    link = made[1][0]
    url = image_url(gateway, link)
    by_link, by_key = send(link), send(url, key=house.key)
    assert by_key.content == by_link.content
    assert send(f"{url}.png", key=house.key).content == by_link.content
    for name in ("content-type", "content-disposition", "etag", "accept-ranges", "last-modified"):
        assert by_key.headers[name] == by_link.headers[name], name
    assert by_key.headers["x-request-id"].startswith("req_")
    assert by_key.headers["cache-control"].startswith("private, max-age=86")
    part = send(url, key=house.key, range="bytes=-7")
    assert (part.status, part.content) == (206, by_link.content[-7:])
    assert send(url, key=house.key, if_none_match=by_key.headers["etag"]).status == 304
    assert send(url, key=house.key, range=f"bytes={len(by_link.content)}-").status == 416


def test_a_thumbnail_is_made_on_demand(gateway: Process, house: House, made: tuple[str, list[str]]) -> None:
    url = image_url(gateway, made[1][0]) + "/thumbnail"
    with ThreadPoolExecutor(4) as several:
        answers = list(several.map(lambda _: send(url, key=house.key), range(4)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 1
    with Image.open(io.BytesIO(answers[0].content)) as small:
        assert (small.format, small.size) == ("WEBP", (512, 512))
    assert send(url, key=house.key, if_none_match=answers[0].headers["etag"]).status == 304
    assert len(task(gateway, house, made[0])["data"]) == 2


def test_a_deleted_image_is_gone_everywhere_at_once(
    gateway: Process, house: House, made: tuple[str, list[str]]
) -> None:
    task_id, (link, other) = made
    url = image_url(gateway, link)
    assert send(f"{url}/thumbnail", key=house.key).status == 200
    deleted = send(url, "DELETE", key=house.key)
    assert (deleted.status, deleted.content) == (204, b"")
    assert not {"content-type", "content-length"} & set(deleted.headers)
    assert deleted.headers["x-request-id"].startswith("req_")
    assert_told(send(link), 404, "not_found")
    for gone in (url, f"{url}.png", f"{url}/thumbnail"):
        assert_told(send(gone, key=house.key), 404, "not_found", "id")
    assert [item["url"] for item in task(gateway, house, task_id)["data"]] == [other]
    assert send(url, "DELETE", key=house.key).status == 204
    assert not list((house.data / "images").glob(f"{urlsplit(url).path.rpartition('/')[2]}*"))
    edit = {"model": MODEL, "prompt": "bluer", "image": link, "quality": "low"}
    assert_told(call(f"{gateway.url}/v1/images/edits", edit, key=house.key), 400, "invalid_image_url")


def test_images_of_one_task_deleted_side_by_side_are_all_gone(
    gateway: Process, house: House, made: tuple[str, list[str]]
) -> None:
    urls = [image_url(gateway, link) for link in made[1]]
    with ThreadPoolExecutor(4) as several:
        answers = list(several.map(lambda url: send(url, "DELETE", key=house.key).status, urls * 2))
    assert answers == [204] * 4
    assert task(gateway, house, made[0])["data"] == []


def test_nobody_else_sees_or_deletes_an_image(gateway: Process, house: House, made: tuple[str, list[str]]) -> None:
    """And cannot tell it from one that never was."""
    stranger = house.key_for("stranger", "1")
    url = image_url(gateway, made[1][0])
    for path in (url, f"{url}.png", f"{url}/thumbnail"):
        assert_told(send(path), 401, "invalid_api_key")
        told = assert_told(send(path, key=stranger), 404, "not_found")
        assert "there is no image" in told["message"]
    assert_told(send(url, "DELETE"), 401, "invalid_api_key")
    assert_told(send(url, "DELETE", key=stranger), 404, "not_found")
    assert send(url, key=house.key).status == 200


@pytest.mark.parametrize(
    "name", ["req_0-0", "x", "-", "..", "%2e%2e", "%00", "req_0-0.png", "a" * 300, "%F0%9F%A6%8A-0"]
)
def test_what_never_was_is_404(gateway: Process, house: House, name: str) -> None:
    for method in ("GET", "DELETE"):
        assert_told(send(f"{gateway.url}/v1/images/{name}", method, key=house.key), 404, "not_found")
    assert_told(send(f"{gateway.url}/v1/images/{name}/thumbnail", key=house.key), 404, "not_found")


def test_paths_that_mean_something_else_are_no_images(gateway: Process, house: House) -> None:
    for name in ("generations", "edits", "variations", "estimate"):
        for method in ("GET", "DELETE"):
            refused = send(f"{gateway.url}/v1/images/{name}", method, key=house.key)
            assert_told(refused, 405, "method_not_allowed")
            assert refused.headers["allow"] == "POST"
    refused = send(f"{gateway.url}/v1/images/req_0-0", "PUT", key=house.key)
    assert_told(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "DELETE, GET, HEAD"


def test_the_connection_lives_on_after_a_deletion(gateway: Process, house: House, made: tuple[str, list[str]]) -> None:
    """An answer without a body is one without a body: what follows it is the next answer."""
    path = urlsplit(image_url(gateway, made[1][0])).path
    key = f"Host: x\r\nAuthorization: Bearer {house.key}\r\n"
    asked = f"DELETE {path} HTTP/1.1\r\n{key}\r\nGET {path} HTTP/1.1\r\n{key}Connection: close\r\n\r\n"
    received = exchange(gateway.url, asked.encode())
    assert received.startswith(b"HTTP/1.1 204 No Content\r\n")
    _, _, rest = received.partition(b"\r\n\r\n")
    assert answer_of(rest).status == 404
