"""Whole gateways on a bucket of a real S3 server: pictures go there and come from there, two replicas share them, and
nothing is charged while the store is away."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from tests.integration.processes import (
    Answer,
    House,
    Process,
    assert_told,
    call,
    clean_environment,
    wait_for,
)
from tests.store.objects.server import BUCKET, SECRET, S3Server, s3_server

NUMBERS = count(1)
MODEL = "gpt-image-1"
SETTINGS = """
media = "s3://{bucket}/gateways/{number}"
media_redirect = {redirect}

[media_options]
endpoint = "{endpoint}"
region = "us-east-1"
access_key_id = "{access}"
secret_access_key = "{secret}"

[limits]
keep_images_s = {keep_s}
sweep_every_s = 0.5
"""


class Kept(urllib.request.HTTPRedirectHandler):
    """Redirects are looked at, not followed."""

    def redirect_request(self, *asked: Any) -> None:
        return None


def get(url: str, method: str = "GET", *, key: str = "", **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"authorization": f"Bearer {key}"} if key else {}
    try:
        asked = urllib.request.Request(url, method=method, headers=sent)
        with urllib.request.build_opener(Kept).open(asked, timeout=30) as reply:
            return Answer(reply.status, {n.lower(): v for n, v in reply.headers.items()}, reply.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, {n.lower(): v for n, v in error.headers.items()}, error.read())


def settings(place: Path, server: S3Server, **changes: Any) -> Path:
    options = server.options
    values = {
        "bucket": BUCKET,
        "number": next(NUMBERS),
        "redirect": "false",
        "endpoint": options["endpoint"],
        "access": options["access_key_id"],
        "secret": options["secret_access_key"],
        "keep_s": 86_400,
    }
    path = place / "imageway.toml"
    path.write_text(SETTINGS.format(**{**values, **changes}))
    return path


@pytest.fixture
def server() -> S3Server:
    return s3_server()


@pytest.fixture
def house(tmp_path: Path, server: S3Server) -> Iterator[House]:
    chosen = settings(tmp_path, server)
    house = House(tmp_path / "data", clean_environment(), ("--sandbox", "--config", str(chosen)))
    house.fund()
    yield house
    house.close()


def ask(gateway: Process, house: House, **fields: Any) -> Answer:
    body = {"model": MODEL, "prompt": "a fox", "quality": "low", "response_format": "url", **fields}
    return call(f"{gateway.url}/v1/images/generations", body, key=house.key)


def test_pictures_go_to_the_bucket_and_come_from_it_by_every_replica(house: House) -> None:
    first, second = house.serve(), house.serve()
    answer = ask(first, house, n=2).json
    links = [item["url"] for item in answer["data"]]
    assert not (house.data / "images").exists()
    for link in links:
        parts = urlsplit(link)
        here, there = get(link), get(f"{second.url}{parts.path}?{parts.query}")
        assert (here.status, here.headers["content-type"], here.content) == (200, "image/png", there.content)
        with Image.open(io.BytesIO(here.content)) as image:
            image.load()
        assert here.headers["etag"] == f'"{hashlib.sha256(here.content).hexdigest()}"'
        part = get(link, range="bytes=10-19")
        assert (part.status, part.content) == (206, here.content[10:20])
    image_id = urlsplit(links[0]).path.removeprefix("/media/").partition(".")[0]
    small = get(f"{second.url}/v1/images/{image_id}/thumbnail", key=house.key)
    assert (small.status, small.headers["content-type"]) == (200, "image/webp")
    assert get(f"{second.url}/v1/images/{image_id}", "DELETE", key=house.key).status == 204
    for gone in (links[0], f"{first.url}/v1/images/{image_id}", f"{first.url}/v1/images/{image_id}/thumbnail"):
        assert get(gone, key=house.key).status == 404
    task = call(f"{first.url}/v1/tasks/{answer['request_id']}", key=house.key).json
    assert [item["url"].partition("?")[0] for item in task["data"]] == [links[1].partition("?")[0]]


def test_an_edit_opens_a_picture_of_the_bucket(house: House) -> None:
    gateway = house.serve()
    link = ask(gateway, house).json["data"][0]["url"]
    edited = ask(gateway, house, prompt="bluer", image=link)
    assert edited.status == 200, edited.content[:500]


def test_readers_are_sent_to_the_store_for_as_long_as_the_picture_lives(
    tmp_path: Path, house: House, server: S3Server
) -> None:
    settings(tmp_path, server, redirect="true", keep_s=100)
    gateway = house.serve()
    answer = ask(gateway, house).json
    link = answer["data"][0]["url"]
    told = get(link, key=house.key)
    assert (told.status, told.content, told.headers["cache-control"]) == (302, b"", "no-store")
    parts = urlsplit(told.headers["location"])
    name = urlsplit(link).path.removeprefix("/media/")
    assert f"{parts.scheme}://{parts.netloc}" == server.url
    assert parts.path.startswith(f"/{BUCKET}/gateways/")
    assert parts.path.endswith(f"/objects/{name}")
    assert 90 < int(parse_qs(parts.query)["X-Amz-Expires"][0]) <= 100
    for secret in (SECRET, house.key):
        assert secret not in str(told.headers)
    at_store = get(told.headers["location"])
    assert (at_store.status, at_store.headers["content-type"]) == (200, "image/png")
    whole = get(f"{gateway.url}/v1/images/{name}", key=house.key)
    assert (whole.status, whole.content) == (200, at_store.content)  # by key it comes from the gateway
    assert get(link, "HEAD").headers["etag"] == whole.headers["etag"]
    assert get(link, if_none_match=whole.headers["etag"]).status == 304
    assert get(told.headers["location"].replace("X-Amz-Expires=", "X-Amz-Expires=9")).status == 403
    assert_told(get(link.replace("expires=", "expires=9")), 403, "signature_invalid")


def test_pictures_of_the_bucket_are_swept_after_their_time(tmp_path: Path, house: House, server: S3Server) -> None:
    settings(tmp_path, server, keep_s=2)
    gateway = house.serve()
    answer = ask(gateway, house).json
    link = answer["data"][0]["url"]
    name = urlsplit(link).path.removeprefix("/media/")
    wait_for(lambda: get(link).status == 410, seconds=10)
    wait_for(lambda: '"removed":1' in gateway.log.read_text().replace(" ", ""), seconds=10)
    told = assert_told(get(f"{gateway.url}/v1/images/{name}", key=house.key), 410, "link_expired", "id")
    assert "expired at 20" in told["message"]


def test_nothing_is_charged_while_the_store_is_away_and_all_is_well_when_it_is_back(
    house: House, server: S3Server
) -> None:
    gateway = house.serve()
    link = ask(gateway, house).json["data"][0]["url"]
    before = house.money()
    server.stop()
    try:
        assert_told(ask(gateway, house), 503, "overloaded")
        assert_told(get(link), 503, "overloaded")
        image_id = urlsplit(link).path.removeprefix("/media/")
        for method in ("GET", "DELETE"):
            assert_told(get(f"{gateway.url}/v1/images/{image_id}", method, key=house.key), 503, "overloaded")
    finally:
        server.start()
    assert house.money() == before
    log = gateway.log.read_text()
    assert "Traceback" not in log
    assert SECRET not in log
    assert get(link).status == 200
    assert get(f"{gateway.url}/v1/images/{image_id}", "DELETE", key=house.key).status == 204
    assert get(link).status == 404
    assert ask(gateway, house).status == 200


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secret": "test-wrong-secret"}, "SignatureDoesNotMatch"),
        ({"bucket": "nobodys-bucket"}, "NoSuchBucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "error sending request"),
    ],
)
def test_a_gateway_does_not_start_on_a_store_that_it_cannot_use(
    tmp_path: Path, server: S3Server, changes: dict[str, str], said: str
) -> None:
    chosen = settings(tmp_path, server, **changes)
    begun_s = time.monotonic()
    done = run(tmp_path, chosen, "serve", "--port", "0", "--sandbox")
    assert time.monotonic() - begun_s < 20
    assert done.returncode == 1
    assert done.stderr.startswith("imageway: the media store ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    doctor = run(tmp_path, chosen, "doctor", "--json")
    found = {finding["about"]: finding for finding in json.loads(doctor.stdout)}
    assert (doctor.returncode, found["media store"]["state"]) == (1, "error")
    assert said in found["media store"]["says"]
    for told in (done.stderr, doctor.stdout):
        assert "test-wrong-secret" not in told
        assert SECRET not in told


def run(place: Path, chosen: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "imageway.cli.main", *arguments, "--config", str(chosen)]
    return subprocess.run(
        [*words, "--data", str(place / "data")],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
        check=False,
    )
