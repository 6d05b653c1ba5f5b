"""The pretend Vertex: its paths and credentials, the fields and shapes that AI Studio does not have."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from imageway.sandbox import Room, open_sandbox
from imageway.sandbox.upstreams.google.accounts import BEARER, EMAIL
from tests.unit.sandbox.asking import Answered, ask, picture

PLACE = "projects/my-proj/locations/global"
FLASH, OLD, LITE = "gemini-3.1-flash-image", "gemini-2.5-flash-image", "gemini-3.1-flash-lite-image"
NOBODY = {"authorization": "", "x-goog-api-key": ""}
BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "A red fox"}]}]}


async def generate(
    room: Room, model: str = FLASH, *, path: str = f"/v1/{PLACE}/", headers: dict[str, str] | None = None, **body: Any
) -> Answered:
    return await ask(
        room, f"/vertex{path}publishers/google/models/{model}:generateContent", BODY | body, headers=headers
    )


@pytest.mark.parametrize("path", [f"/v1/{PLACE}/", f"/v1beta1/{PLACE}/", "/v1beta1/", "/v1/"])
async def test_a_call_names_a_project_or_none(room: Room, path: str) -> None:
    assert (await generate(room, path=path)).status == 200


async def test_an_answer_is_ordered_and_named_as_recorded(room: Room) -> None:
    answer = await generate(room, OLD)
    assert list(answer.json) == ["candidates", "usageMetadata", "modelVersion", "createTime", "responseId"]
    (candidate,) = answer.json["candidates"]
    assert list(candidate) == ["content", "finishReason"]
    assert list(candidate["content"]) == ["role", "parts"]
    usage = answer.json["usageMetadata"]
    assert usage["trafficType"] == "ON_DEMAND"
    assert "serviceTier" not in usage
    assert usage["candidatesTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 5},
        {"modality": "IMAGE", "tokenCount": 1290},
    ]
    assert usage["candidatesTokenCount"] == 1295
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + 1295
    assert not {"server-timing", "x-gemini-service-tier"} & set(answer.headers)
    assert (await generate(room, LITE)).json["usageMetadata"]["candidatesTokenCount"] == 1120


async def test_it_takes_what_ai_studio_calls_unknown(room: Room) -> None:
    config = {
        "imageConfig": {
            "personGeneration": "ALLOW_ADULT",
            "prominentPeople": "BLOCK_PROMINENT_PEOPLE",
            "imageOutputOptions": {"mimeType": "image/png", "compressionQuality": 80},
        }
    }
    answer = await generate(room, generationConfig=config, labels={"team": "a"})
    part = answer.json["candidates"][0]["content"]["parts"][0]
    assert part["inlineData"]["mimeType"] == "image/png"
    assert picture(part["inlineData"]["data"]).format == "PNG"
    refused = await ask(
        room, f"/google/v1/models/{FLASH}:generateContent", BODY | {"generationConfig": config, "labels": {}}
    )
    for name in ("personGeneration", "prominentPeople", "imageOutputOptions", "labels"):
        assert f'Unknown name "{name}"' in refused.json["error"]["message"]


async def test_response_format_is_an_array_here(room: Room) -> None:
    image = {"image": {"aspectRatio": "ASPECT_RATIO_SIXTEEN_BY_NINE", "imageSize": "IMAGE_SIZE_ONE_K"}}
    answer = await generate(room, generationConfig={"responseFormat": [image]})
    part = answer.json["candidates"][0]["content"]["parts"][0]
    assert picture(part["inlineData"]["data"]).size == (1376, 768)
    refused = await ask(
        room,
        f"/google/v1/models/{FLASH}:generateContent",
        BODY | {"generationConfig": {"responseFormat": [image]}},
    )
    assert refused.status == 400


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"imageConfig": {"imageOutputOptions": {"mimeType": "image/gif"}}}, "Unsupported output mime type"),
        ({"imageConfig": {"imageOutputOptions": {"compressionQuality": 101}}}, "[0, 100]"),
        ({"imageConfig": {"personGeneration": "ALLOW_SOME"}}, "google.cloud.aiplatform.v1beta1.ImageConfig.Person"),
        ({"imageConfig": {"nothing": 1}}, "Unknown name \"nothing\" at 'generation_config.image_config'"),
    ],
)
async def test_a_wrong_setting_is_an_invalid_argument(room: Room, config: dict[str, Any], words: str) -> None:
    answer = await generate(room, generationConfig=config)
    assert answer.status == 400
    assert words in answer.json["error"]["message"]


async def test_a_smaller_quality_is_a_smaller_file(room: Room) -> None:
    sizes = []
    for quality in (95, 10):
        options = {"mimeType": "image/jpeg", "compressionQuality": quality}
        answer = await generate(room, generationConfig={"imageConfig": {"imageOutputOptions": options}, "seed": 1})
        sizes.append(len(answer.json["candidates"][0]["content"]["parts"][0]["inlineData"]["data"]))
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize(
    ("headers", "path", "status", "word", "reason"),
    [
        (NOBODY, f"/v1/{PLACE}/", 401, "UNAUTHENTICATED", "CREDENTIALS_MISSING"),
        ({**NOBODY, "authorization": "Bearer bad"}, f"/v1/{PLACE}/", 401, "UNAUTHENTICATED", "ACCESS_TOKEN_TYPE"),
        ({**NOBODY, "x-goog-api-key": "bad"}, "/v1/", 400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
        ({}, "/v1/projects/denied-1/locations/global/", 403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED"),
    ],
)
async def test_a_wrong_credential_is_refused(
    room: Room, headers: dict[str, str], path: str, status: int, word: str, reason: str
) -> None:
    answer = await generate(room, headers=headers, path=path)
    error = answer.json["error"]
    assert (answer.status, error["status"]) == (status, word)
    assert error["details"][0]["reason"].startswith(reason)


async def test_a_token_or_a_key_will_do(room: Room) -> None:
    assert (await generate(room, headers={**NOBODY, "authorization": "Bearer ya29.x"})).status == 200
    assert (await generate(room, headers={**NOBODY, "x-goog-api-key": "AQ.x"}, path="/v1beta1/")).status == 200


async def test_an_unknown_model_is_named_with_its_place(room: Room) -> None:
    answer = await generate(room, "gemini-9")
    assert (answer.status, answer.json["error"]["status"]) == (404, "NOT_FOUND")
    assert (
        f"Publisher Model `{PLACE}/publishers/google/models/gemini-9` was not found" in answer.json["error"]["message"]
    )


async def test_its_rate_limit_never_says_when_to_come_back(room: Room) -> None:
    answer = await generate(room, headers={"x-sandbox-fault": "rate_limit"})
    assert (answer.status, set(answer.json["error"])) == (429, {"code", "message", "status"})
    assert "retry-after" not in answer.headers


async def test_it_streams_in_its_own_shape(room: Room) -> None:
    path = f"/vertex/v1beta1/{PLACE}/publishers/google/models/{OLD}:streamGenerateContent?alt=sse"
    answer = await ask(room, path, BODY)
    chunks = [data for _, data in answer.events]
    assert all("createTime" in chunk and "index" not in chunk["candidates"][0] for chunk in chunks)
    assert chunks[-1]["usageMetadata"]["candidatesTokenCount"] == 1295
    refused = await ask(room, path.removesuffix("?alt=sse"), BODY, headers=NOBODY)
    assert refused.json[0]["error"]["code"] == 401


async def test_models_are_listed_as_publisher_models(room: Room) -> None:
    page = (await ask(room, "/vertex/v1beta1/publishers/google/models?pageSize=2")).json
    assert [row["name"].rpartition("/")[0] for row in page["publisherModels"]] == ["publishers/google/models"] * 2
    assert page["nextPageToken"]
    shown = await ask(room, f"/vertex/v1/publishers/google/models/{FLASH}")
    assert shown.json["name"] == f"publishers/google/models/{FLASH}"
    assert (await ask(room, "/vertex/v1/elsewhere")).status == 404


# service accounts


@pytest.fixture
async def key_file(room: Room) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(room, "/vertex/service-account.json", headers=NOBODY)).json
    return found


def claim(**changes: object) -> dict[str, object]:
    now_s = int(time.time())
    return {
        "iss": EMAIL,
        "aud": "https://oauth2.googleapis.com/token",
        "iat": now_s,
        "exp": now_s + 3600,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        **changes,
    }


def signed(key_file: dict[str, Any], claims: dict[str, object], **header: object) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    key = serialization.load_pem_private_key(key_file["private_key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    head = {"typ": "JWT", "alg": "RS256", "kid": key_file["private_key_id"], **header}
    content = ".".join(part(json.dumps(value).encode()) for value in (head, claims))
    return f"{content}.{part(key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


async def exchange(room: Room, assertion: str, grant: str = BEARER) -> Answered:
    body = urlencode({"assertion": assertion, "grant_type": grant}).encode()
    return await ask(
        room,
        "/vertex/token",
        body,
        headers={**NOBODY, "content-type": "application/x-www-form-urlencoded"},
    )


async def test_a_signed_claim_becomes_a_token(room: Room, key_file: dict[str, Any]) -> None:
    assert key_file["token_uri"] == "http://sandbox.test/vertex/token"
    answer = await exchange(room, signed(key_file, claim()))
    assert answer.status == 200
    assert (answer.json["expires_in"], answer.json["token_type"]) == (3599, "Bearer")
    assert answer.headers["cache-control"].startswith("no-cache, no-store")
    token = answer.json["access_token"]
    assert (await generate(room, headers={**NOBODY, "authorization": f"Bearer {token}"})).status == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "somebody@else"}, "account not found"),
        ({"aud": "http://127.0.0.1/token"}, "audience"),
        ({"exp": int(time.time()) + 7200}, "short-lived"),
        ({"iat": 1, "exp": 2}, "reasonable timeframe"),
        ({"iat": "now"}, "must be numbers"),
        ({"scope": ""}, "scope"),
    ],
)
async def test_a_claim_that_does_not_hold_is_refused(
    room: Room, key_file: dict[str, Any], changes: dict[str, object], words: str
) -> None:
    answer = await exchange(room, signed(key_file, claim(**changes)))
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert words in answer.json["error_description"]


async def test_somebody_elses_signature_is_refused(room: Room, key_file: dict[str, Any]) -> None:
    other = (await ask(open_sandbox(), "/vertex/service-account.json")).json
    assert (await exchange(room, signed(other, claim()))).json["error_description"] == "Invalid JWT Signature."
    assert (await exchange(room, signed(key_file, claim(), alg="HS256"))).status == 400
    for broken in ("", "a.b", "a.b.c", "e30.e30.", "W10.W10.W10"):
        assert (await exchange(room, broken)).json["error"] == "invalid_grant"


async def test_a_refresh_token_will_do_and_other_grants_will_not(room: Room) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    body = b"grant_type=refresh_token&refresh_token=r&client_id=c&client_secret=s"
    assert (await ask(room, "/vertex/token", body, headers=form)).json["access_token"]
    assert (await ask(room, "/vertex/token", body.replace(b"=r&", b"=bad&"), headers=form)).status == 400
    assert (await exchange(room, "x", "password")).json["error"] == "unsupported_grant_type"
    assert (await ask(room, "/google/token", body, headers=form)).status == 404
