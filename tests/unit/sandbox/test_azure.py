"""The pretend Azure: deployments, its key and api-version, its own errors around the same service."""

from __future__ import annotations

import pytest

from imageway.sandbox import Room
from tests.unit.sandbox.asking import Answered, ask, file_of, picture
from tests.unit.sandbox.test_openai import form

VERSION = "api-version=2025-04-01-preview"
BODY = {"prompt": "a fox", "size": "1024x1024", "quality": "low"}
NO_KEY = {"authorization": "", "api-key": ""}


async def generate(room: Room, deployment: str = "gpt-image-1", query: str = VERSION, **headers: str) -> Answered:
    path = f"/azure/openai/deployments/{deployment}/images/generations?{query}"
    return await ask(room, path, BODY, headers={"authorization": "", "api-key": "k", **headers})


@pytest.mark.parametrize(
    ("deployment", "model"),
    [("gpt-image-1", "gpt-image-1"), ("team-gpt-image-1.5-eu", "gpt-image-1.5"), ("painter", "gpt-image-2")],
)
async def test_a_deployment_serves_the_model_that_its_name_contains(room: Room, deployment: str, model: str) -> None:
    answer = await generate(room, deployment)
    assert answer.status == 200
    assert room.journal.entries[-1].model == model
    assert picture(answer.json["data"][0]["b64_json"]).size == (1024, 1024)
    assert answer.headers["apim-request-id"]
    assert answer.headers["x-ms-region"] == "East US 2"
    assert "openai-version" not in answer.headers


async def test_the_models_name_in_the_body_is_passed_over_on_classic_paths_and_decides_on_v1(room: Room) -> None:
    body = {**BODY, "model": "gpt-image-1-mini"}
    await ask(room, f"/azure/openai/deployments/gpt-image-1/images/generations?{VERSION}", body)
    assert room.journal.entries[-1].model == "gpt-image-1"
    assert (await ask(room, "/azure/openai/v1/images/generations", body)).status == 200
    assert room.journal.entries[-1].model == "gpt-image-1-mini"
    nameless = await ask(room, "/azure/openai/v1/images/generations", BODY)
    assert (nameless.status, nameless.json["error"]["code"]) == (404, "DeploymentNotFound")


@pytest.mark.parametrize(
    ("deployment", "query", "headers", "status", "code"),
    [
        ("gpt-image-1", VERSION, NO_KEY, 401, "401"),
        ("gpt-image-1", VERSION, {"api-key": "bad"}, 401, "401"),
        ("gpt-image-1", "", {}, 404, "404"),
        ("gpt-image-1", "api-version=newest", {}, 404, "404"),
        ("gpt-image-1", "api-version=2024-10-21", {}, 400, "OperationNotSupported"),
        ("missing", VERSION, {}, 404, "DeploymentNotFound"),
        ("blocked", VERSION, {}, 403, "Forbidden"),
        ("gpt-image-1", VERSION, {"x-sandbox-fault": "rate_limit"}, 429, "RateLimitReached"),
        ("gpt-image-1", VERSION, {"x-sandbox-fault": "error_500"}, 500, "InternalServerError"),
    ],
)
async def test_its_own_errors_have_a_code_and_a_message_and_nothing_else(
    room: Room, deployment: str, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await generate(room, deployment, query, **headers)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert set(answer.json["error"]) == {"code", "message"}
    assert ("retry-after" in answer.headers) == (code == "RateLimitReached")


async def test_an_entra_token_will_do(room: Room) -> None:
    answer = await generate(room, **{"api-key": "", "authorization": "Bearer eyJ"})
    assert answer.status == 200


async def test_parameters_and_moderation_are_those_of_the_service(room: Room) -> None:
    path = f"/azure/openai/deployments/gpt-image-1/images/generations?{VERSION}"
    answer = await ask(room, path, {**BODY, "style": "vivid"})
    assert answer.json["error"]["code"] == "unknown_parameter"
    blocked = (await ask(room, path, {**BODY, "prompt": "forbidden"})).json["error"]
    assert blocked["code"] == "moderation_blocked"
    assert "contact us at Azure support ticket" in blocked["message"]


async def test_it_edits_and_streams(room: Room) -> None:
    path = f"/azure/openai/deployments/gpt-image-1.5/images/edits?{VERSION}"
    sent = form(
        ("prompt", "a hat", ""),
        ("stream", "true", ""),
        ("partial_images", "1", ""),
        ("image[]", file_of(), "image/png"),
        ("image[]", file_of("JPEG"), "image/jpeg"),
    )
    answer = await ask(room, path, sent["body"], headers=sent["headers"])
    assert [name for name, _ in answer.events] == ["image_edit.partial_image", "image_edit.completed"]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["apim-request-id"]


async def test_other_paths_are_not_found_and_want_a_key_all_the_same(room: Room) -> None:
    assert (await ask(room, "/azure/openai/models", headers={"api-key": "k"})).status == 404
    assert (await ask(room, "/azure/openai/models", headers=NO_KEY)).status == 401
