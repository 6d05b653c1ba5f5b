"""The official SDKs talk to the sandbox over a real socket and get real pictures, as they would from the providers."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dashscope
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from PIL import Image
from volcenginesdkarkruntime import Ark
from volcenginesdkarkruntime._exceptions import ArkAPIError, ArkAuthenticationError, ArkBadRequestError
from volcenginesdkarkruntime.types.images import SequentialImageGenerationOptions

from imageway.sandbox import Room, open_sandbox
from imageway.server.http import Host
from imageway.server.limits import ConnectionLimits
from imageway.server.sandbox_app import sandbox_app
from imageway.server.serving import listen, url_of


@dataclass(frozen=True)
class Server:
    room: Room
    url: str


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    room = open_sandbox(random_seed=7)
    listener = listen("127.0.0.1", 0)
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        host = Host(sandbox_app(room), ConnectionLimits())
        serving = await loop.create_server(host.connection, sock=listener)
        await stop.wait()
        serving.close()
        await host.close(1)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    yield Server(room, url_of(listener, "127.0.0.1"))
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=10)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """SDKs honour proxies of the environment; a loopback server has no use for one."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def decode(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def download(url: str) -> Image.Image:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return decode(answer.read())


def png(width: int = 64, height: int = 64, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), (200, 30, 30, 0)[: len(mode)]).save(out, "PNG")
    return out.getvalue()


# openai


@pytest.fixture
def openai_client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-test-1", base_url=f"{server.url}/openai/v1") as client:
        yield client


def test_openai_generates_two_pictures_of_one_size(openai_client: openai.OpenAI) -> None:
    answer = openai_client.images.generate(
        model="gpt-image-1.5", prompt="A red fox é", n=2, size="1536x1024", quality="low", output_format="webp"
    )
    assert answer.data is not None
    assert [decode(base64.b64decode(item.b64_json or "")).size for item in answer.data] == [(1536, 1024)] * 2
    assert (answer.size, answer.quality, answer.output_format) == ("1536x1024", "low", "webp")
    assert answer.usage is not None
    assert answer.usage.output_tokens_details is not None
    assert answer.usage.output_tokens_details.image_tokens == 2 * 400
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_openai_edits_two_files_with_a_mask(openai_client: openai.OpenAI) -> None:
    answer = openai_client.images.edit(
        model="gpt-image-1",
        prompt="Combine",
        image=[("a.png", png(), "image/png"), ("b.png", png(80, 40), "image/png")],
        mask=("m.png", png(mode="RGBA"), "image/png"),
        size="1024x1024",
    )
    assert answer.data is not None
    assert decode(base64.b64decode(answer.data[0].b64_json or "")).size == (1024, 1024)
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == 2 * 194


def test_openai_takes_an_edit_as_json(openai_client: openai.OpenAI) -> None:
    link = "data:image/png;base64," + base64.b64encode(png()).decode()
    body = {"model": "gpt-image-2", "prompt": "green", "images": [{"image_url": link}], "size": "1536x864"}
    answer: Any = openai_client.post("/images/edits", body=body, cast_to=object)
    assert decode(base64.b64decode(answer["data"][0]["b64_json"])).size == (1536, 864)
    assert answer["usage"]["input_tokens_details"]["image_tokens"] == 64


def test_openai_streams_partial_pictures_and_then_the_finished_one(openai_client: openai.OpenAI) -> None:
    stream = openai_client.images.generate(
        model="gpt-image-2", prompt="A fox", size="1024x640", quality="low", stream=True, partial_images=2
    )
    events = list(stream)
    assert [event.type for event in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]  # type: ignore[union-attr]
    assert [decode(base64.b64decode(event.b64_json)).size for event in events] == [(1024, 640)] * 3
    last = events[-1]
    assert last.type == "image_generation.completed"
    assert (last.size, last.quality, last.output_format) == ("1024x640", "low", "png")
    assert last.usage.total_tokens == last.usage.input_tokens + last.usage.output_tokens
    assert last.usage.output_tokens > 200


def test_openai_streams_an_edit_of_two_files_with_a_mask(openai_client: openai.OpenAI) -> None:
    stream = openai_client.images.edit(
        model="gpt-image-1.5",
        prompt="Combine",
        image=[("a.png", png(), "image/png"), ("b.png", png(80, 40), "image/png")],
        mask=("m.png", png(mode="RGBA"), "image/png"),
        input_fidelity="high",
        size="1024x1024",
        stream=True,
        partial_images=1,
    )
    events = list(stream)
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
    last = events[-1]
    assert last.type == "image_edit.completed"
    assert last.usage.input_tokens_details.image_tokens == 2 * 194 + 4160 + 6240


def test_openai_raises_what_comes_before_a_stream_and_what_comes_within(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        openai_client.images.generate(model="gpt-image-2", prompt="x", size="1x1", stream=True)
    stream = openai_client.images.generate(
        model="gpt-image-2", prompt="forbidden-output", size="1024x640", quality="low", stream=True, partial_images=1
    )
    events = iter(stream)
    assert next(events).type == "image_generation.partial_image"
    with pytest.raises(openai.APIError) as failed:
        next(events)
    assert failed.value.code == "moderation_blocked"


def broken_stream(client: openai.OpenAI, fault: str) -> Iterator[str]:
    """The types of a stream's events as they arrive."""
    stream = client.images.generate(
        model="gpt-image-2",
        prompt=f"sandbox-fault:{fault}",
        size="1024x640",
        quality="low",
        stream=True,
        partial_images=2,
    )
    return (event.type for event in stream)


def test_openai_loses_a_stream_that_is_cut_after_its_first_event(openai_client: openai.OpenAI) -> None:
    events = broken_stream(openai_client, "reset_mid")
    assert next(events) == "image_generation.partial_image"
    with pytest.raises(openai.APIConnectionError):
        next(events)


def test_openai_takes_half_a_stream_for_all_of_it(openai_client: openai.OpenAI) -> None:
    """No error, and no finished picture: nobody may believe that the stream was complete."""
    assert "image_generation.completed" not in list(broken_stream(openai_client, "truncated"))


def test_openai_sees_the_error_event_of_a_failing_stream(openai_client: openai.OpenAI) -> None:
    stream = openai_client.images.generate(
        model="gpt-image-2",
        prompt="x",
        size="1024x640",
        quality="low",
        stream=True,
        partial_images=1,
        extra_headers={"x-sandbox-fault": "error_event"},
    )
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(stream)


# azure


@pytest.fixture
def azure(server: Server) -> Iterator[openai.AzureOpenAI]:
    with openai.AzureOpenAI(
        azure_endpoint=f"{server.url}/azure", api_key="azkey", api_version="2025-04-01-preview"
    ) as client:
        yield client


def test_azure_generates_by_deployment(azure: openai.AzureOpenAI, server: Server) -> None:
    answer = azure.images.generate(model="my-gpt-image-1", prompt="x", n=1, size="1024x1024", quality="low")
    assert answer.data is not None
    assert decode(base64.b64decode(answer.data[0].b64_json or "")).size == (1024, 1024)
    entry = server.room.journal.entries[-1]
    assert entry.path == "/azure/openai/deployments/my-gpt-image-1/images/generations"
    assert entry.received.query == {"api-version": "2025-04-01-preview"}
    assert entry.received.json["model"] == "my-gpt-image-1"


def test_azure_edits_two_files_and_streams(azure: openai.AzureOpenAI) -> None:
    files = [("a.png", png(), "image/png"), ("b.png", png(80, 40), "image/png")]
    answer = azure.images.edit(model="gpt-image-1.5", prompt="x", image=files, size="1024x1024")
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == 2 * 194
    stream = azure.images.generate(
        model="gpt-image-2", prompt="x", size="1024x640", quality="low", stream=True, partial_images=1
    )
    assert [event.type for event in stream] == ["image_generation.partial_image", "image_generation.completed"]


def test_azure_takes_the_plain_client_and_an_entra_token(server: Server) -> None:
    with openai.OpenAI(base_url=f"{server.url}/azure/openai/v1/", api_key="azkey") as client:
        answer = client.images.generate(model="gpt-image-2", prompt="x", size="1024x640", quality="low")
        assert answer.size == "1024x640"
    with openai.AzureOpenAI(
        azure_endpoint=f"{server.url}/azure",
        azure_deployment="gpt-image-2",
        azure_ad_token="eyJ",
        api_version="2025-04-01-preview",
    ) as client:
        answer = client.images.generate(model="ignored", prompt="x", size="1024x640", quality="low")
        assert answer.size == "1024x640"


@pytest.mark.parametrize(
    ("deployment", "key", "raised", "code"),
    [
        ("gpt-image-1", "bad", openai.AuthenticationError, "401"),
        ("missing", "k", openai.NotFoundError, "DeploymentNotFound"),
        ("blocked", "k", openai.PermissionDeniedError, "Forbidden"),
    ],
)
def test_azure_refuses_with_its_own_codes(
    server: Server, deployment: str, key: str, raised: type[openai.APIStatusError], code: str
) -> None:
    with (
        openai.AzureOpenAI(
            azure_endpoint=f"{server.url}/azure", api_key=key, api_version="2025-04-01-preview"
        ) as client,
        pytest.raises(raised) as refused,
    ):
        client.images.generate(model=deployment, prompt="x")
    assert refused.value.code == code


def test_openai_refuses_a_bad_key_once(server: Server) -> None:
    with (
        openai.OpenAI(api_key="bad-key", base_url=f"{server.url}/openai/v1") as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.images.generate(model="gpt-image-2", prompt="x")
    assert refused.value.code == "invalid_api_key"
    assert refused.value.response.headers["www-authenticate"].startswith("Bearer")


def test_openai_blocks_a_forbidden_prompt(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.images.generate(model="gpt-image-2", prompt="something forbidden")
    assert refused.value.code == "moderation_blocked"
    assert refused.value.type == "image_generation_user_error"


def test_openai_lists_models_and_retries_a_rate_limit(openai_client: openai.OpenAI, server: Server) -> None:
    assert "gpt-image-2" in {model.id for model in openai_client.models.list()}
    assert openai_client.models.retrieve("gpt-image-1").owned_by == "system"
    before = len(server.room.journal.entries)
    with pytest.raises(openai.RateLimitError):
        openai_client.images.generate(
            model="gpt-image-2", prompt="x", extra_headers={"x-sandbox-fault": "rate_limit"}, timeout=20
        )
    seen = server.room.journal.entries[before:]
    assert [entry.outcome for entry in seen] == ["429 rate_limit"] * 3


# google-genai


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_genai_generates_content_under_both_versions(server: Server, version: str) -> None:
    client = genai.Client(
        api_key="AIzaTEST", http_options=types.HttpOptions(base_url=f"{server.url}/google", api_version=version)
    )
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        image_config=types.ImageConfig(aspect_ratio="16:9", image_size="1K"),
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH),
        seed=42,
    )
    source = types.Part.from_bytes(data=png(), mime_type="image/png")
    answer = client.models.generate_content(
        model="gemini-3.1-flash-image", contents=[source, "Add a hat"], config=config
    )
    parts = answer.candidates[0].content.parts  # type: ignore[index, union-attr]
    assert parts is not None
    finished = [part for part in parts if part.inline_data and not part.thought]
    assert any(part.thought for part in parts)
    assert decode(finished[-1].inline_data.data).size == (1376, 768)  # type: ignore[union-attr, arg-type]
    assert len(finished[-1].thought_signature or b"") == 1024
    usage = answer.usage_metadata
    assert usage is not None
    assert usage.total_token_count == (
        (usage.prompt_token_count or 0) + (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    )


@pytest.fixture
def genai_client(server: Server) -> genai.Client:
    return genai.Client(api_key="AIzaTEST", http_options=types.HttpOptions(base_url=f"{server.url}/google"))


def test_genai_carries_a_conversation_on(genai_client: genai.Client) -> None:
    """The SDK sends the model's picture and signature back as base64url; the next picture has the same ratio."""
    chat = genai_client.chats.create(model="gemini-2.5-flash-image")
    first = chat.send_message("A lighthouse")
    parts = first.candidates[0].content.parts  # type: ignore[index, union-attr]
    assert [decode(p.inline_data.data).format for p in parts or [] if p.inline_data] == ["PNG"]  # type: ignore[arg-type]
    second = chat.send_message("At night")
    parts = second.candidates[0].content.parts  # type: ignore[index, union-attr]
    assert [decode(p.inline_data.data).size for p in parts or [] if p.inline_data] == [(1024, 1024)]  # type: ignore[arg-type]


def test_genai_refuses_a_bad_key_with_400(server: Server) -> None:
    client = genai.Client(api_key="bad", http_options=types.HttpOptions(base_url=f"{server.url}/google"))
    with pytest.raises(genai_errors.ClientError) as refused:
        client.models.generate_content(model="gemini-3-pro-image", contents="x")
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")


def test_genai_sees_a_blocked_prompt_and_a_blocked_picture_as_200(genai_client: genai.Client) -> None:
    blocked = genai_client.models.generate_content(model="gemini-3-pro-image", contents="违禁")
    assert blocked.candidates is None
    assert blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    late = genai_client.models.generate_content(model="gemini-3-pro-image", contents="forbidden-output")
    assert late.candidates is not None
    assert late.candidates[0].finish_reason == types.FinishReason.IMAGE_SAFETY


def test_genai_lists_models_page_by_page(genai_client: genai.Client) -> None:
    names = [model.name for model in genai_client.models.list(config={"page_size": 3})]
    assert "models/gemini-3.1-flash-lite-image" in names
    assert len(names) == len(set(names)) > 3


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_genai_streams_words_then_the_picture(server: Server, version: str) -> None:
    client = genai.Client(
        api_key="AIzaTEST", http_options=types.HttpOptions(base_url=f"{server.url}/google", api_version=version)
    )
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash-image", contents="A red fox"))
    assert "".join(chunk.text or "" for chunk in chunks) == "Here is your image:"
    pictures = [part.inline_data.data for chunk in chunks for part in chunk.parts or [] if part.inline_data]
    assert [decode(content or b"").size for content in pictures] == [(1024, 1024)]
    assert [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates][-1] == types.FinishReason.STOP
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.candidates_token_count == 1304


def test_genai_carries_a_streamed_conversation_on_signed(genai_client: genai.Client) -> None:
    chat = genai_client.chats.create(model="gemini-3-pro-image")
    for message in ("A lighthouse", "At night"):
        chunks = list(chat.send_message_stream(message))
        pictures = [part.inline_data.data for chunk in chunks for part in chunk.parts or [] if part.inline_data]
        assert [decode(content or b"").size for content in pictures] == [(1024, 1024)]
    turns = chat.get_history()
    for turn in turns:
        for part in turn.parts or []:
            part.thought_signature = None
    with pytest.raises(genai_errors.ClientError, match="is missing a thought_signature in content position 2"):
        genai_client.models.generate_content(model="gemini-3-pro-image", contents=turns)  # type: ignore[arg-type]


def test_genai_sees_what_fails_before_and_within_a_stream(genai_client: genai.Client) -> None:
    with pytest.raises(genai_errors.ClientError) as refused:
        list(genai_client.models.generate_content_stream(model="gemini-9", contents="x"))
    assert refused.value.code == 404
    stream = genai_client.models.generate_content_stream(
        model="gemini-2.5-flash-image", contents="sandbox-fault:error_event"
    )
    assert next(stream).text == "Here is "
    with pytest.raises(genai_errors.ServerError) as failed:
        next(stream)
    assert failed.value.status == "INTERNAL"


# vertex


@pytest.fixture
def vertex(server: Server) -> genai.Client:
    return genai.Client(
        vertexai=True,
        project="my-proj",
        location="global",
        credentials=Credentials(token="ya29.FAKE"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=f"{server.url}/vertex"),
    )


def test_vertex_generates_and_streams_with_its_own_options(vertex: genai.Client, server: Server) -> None:
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        labels={"a": "b"},
        image_config=types.ImageConfig(
            aspect_ratio="16:9", person_generation="ALLOW_ADULT", output_mime_type="image/png"
        ),
    )
    answer = vertex.models.generate_content(model="gemini-3.1-flash-image", contents="A fox", config=config)
    parts = answer.parts or []
    assert decode(parts[-1].inline_data.data).size == (1376, 768)  # type: ignore[union-attr, arg-type]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.traffic_type == types.TrafficType.ON_DEMAND
    assert answer.create_time is not None
    entry = server.room.journal.entries[-1]
    assert entry.path.startswith("/vertex/v1beta1/projects/my-proj/locations/global/publishers/google/models/")
    assert entry.received.headers["authorization"] == "Bearer …"
    chunks = list(vertex.models.generate_content_stream(model="gemini-2.5-flash-image", contents="A fox"))
    assert "".join(chunk.text or "" for chunk in chunks) == "Here is your image:"
    assert any(part.inline_data for chunk in chunks for part in chunk.parts or [])


def test_vertex_takes_a_service_account(server: Server) -> None:
    """Google's own library signs the claim, posts it to the key file's token_uri and sends the token it gets."""
    with urllib.request.urlopen(f"{server.url}/vertex/service-account.json", timeout=10) as answer:
        info = json.load(answer)
    scope = "https://www.googleapis.com/auth/cloud-platform"
    credentials = service_account.Credentials.from_service_account_info(info, scopes=[scope])  # type: ignore[no-untyped-call]
    client = genai.Client(
        vertexai=True,
        project="p",
        location="global",
        credentials=credentials,
        http_options=types.HttpOptions(base_url=f"{server.url}/vertex"),
    )
    made = client.models.generate_content(model="gemini-2.5-flash-image", contents="A fox")
    assert any(part.inline_data for part in made.parts or [])
    assert credentials.token.startswith("ya29.sandbox-")


def test_vertex_takes_an_api_key_without_a_project(server: Server) -> None:
    client = genai.Client(
        vertexai=True, api_key="AQ.express", http_options=types.HttpOptions(base_url=f"{server.url}/vertex")
    )
    answer = client.models.generate_content(model="gemini-2.5-flash-image", contents="A fox")
    assert any(part.inline_data for part in answer.parts or [])


def test_vertex_refuses_a_bad_token(server: Server) -> None:
    client = genai.Client(
        vertexai=True,
        project="p",
        location="global",
        credentials=Credentials(token="bad"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=f"{server.url}/vertex"),
    )
    with pytest.raises(genai_errors.ClientError) as refused:
        client.models.generate_content(model="gemini-3-pro-image", contents="x")
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")


@pytest.mark.filterwarnings("ignore:The .* method is deprecated")
def test_vertex_generates_edits_and_enlarges_with_imagen(vertex: genai.Client) -> None:
    made = vertex.models.generate_images(
        model="imagen-4.0-generate-001",
        prompt="A red fox",
        config=types.GenerateImagesConfig(number_of_images=2, aspect_ratio="16:9", output_mime_type="image/jpeg"),
    )
    contents = [found.image.image_bytes for found in made.generated_images or [] if found.image]
    assert [(decode(one or b"").size, decode(one or b"").format) for one in contents] == [((1408, 768), "JPEG")] * 2
    source = types.Image(image_bytes=png(300, 200), mime_type="image/png")
    edited = vertex.models.edit_image(
        model="imagen-3.0-capability-001",
        prompt="Add a hat",
        reference_images=[
            types.RawReferenceImage(reference_id=1, reference_image=source),
            types.MaskReferenceImage(
                reference_id=2, config=types.MaskReferenceConfig(mask_mode=types.MaskReferenceMode.MASK_MODE_FOREGROUND)
            ),
        ],
        config=types.EditImageConfig(edit_mode=types.EditMode.EDIT_MODE_INPAINT_INSERTION, number_of_images=1),
    )
    content = edited.generated_images[0].image.image_bytes  # type: ignore[index, union-attr]
    assert decode(content or b"").getpixel((2, 2)) == (200, 30, 30)
    for factor, size in (("x2", (600, 400)), ("x4", (1200, 800))):
        larger = vertex.models.upscale_image(model="imagen-4.0-upscale-preview", image=source, upscale_factor=factor)
        content = larger.generated_images[0].image.image_bytes  # type: ignore[index, union-attr]
        assert decode(content or b"").size == size


# volcengine ark


@pytest.fixture
def ark(server: Server) -> Ark:
    return Ark(base_url=f"{server.url}/ark/api/v3", api_key="test-key")


def test_ark_answers_by_url_and_by_base64(ark: Ark) -> None:
    answer = ark.images.generate(model="doubao-seedream-4-0-250828", prompt="a red panda", size="1K")
    picture = download(answer.data[0].url)
    assert (picture.format, picture.size, answer.data[0].size) == ("JPEG", (1024, 1024), "1024x1024")
    answer = ark.images.generate(
        model="doubao-seedream-5-0-pro-260628",
        prompt="a red panda",
        size="1280x720",
        response_format="b64_json",
        output_format="png",
        watermark=False,
    )
    assert decode(base64.b64decode(answer.data[0].b64_json)).size == (1280, 720)
    assert (answer.usage.generated_images, answer.usage.output_tokens) == (1, 1280 * 720 // 256)


def test_ark_makes_a_group_whose_items_fail_alone(ark: Ark) -> None:
    answer = ark.images.generate(
        model="doubao-seedream-4-5-251128",
        prompt="a story, forbidden-output:2",
        image="data:image/png;base64," + base64.b64encode(png()).decode(),
        size="2K",
        sequential_image_generation="auto",
        sequential_image_generation_options=SequentialImageGenerationOptions(max_images=3),
    )
    assert [bool(item.url) for item in answer.data] == [True, False, True]
    assert answer.usage.generated_images == 2
    assert download(answer.data[2].url).size == (2048, 2048)


def test_ark_streams_one_picture_and_a_group(ark: Ark) -> None:
    stream = ark.images.generate(model="doubao-seedream-4-0-250828", prompt="a fox", size="1K", stream=True)
    events = list(stream)
    assert [event.type for event in events] == ["image_generation.partial_succeeded", "image_generation.completed"]
    assert download(events[0].url).size == (1024, 1024)
    assert events[-1].usage["generated_images"] == 1
    stream = ark.images.generate(
        model="doubao-seedream-4-5-251128",
        prompt="a story",
        size="2560x1440",
        response_format="b64_json",
        sequential_image_generation="auto",
        sequential_image_generation_options=SequentialImageGenerationOptions(max_images=3),
        stream=True,
    )
    *items, completed = list(stream)
    assert [item.image_index for item in items] == [0, 1, 2]
    assert [decode(base64.b64decode(item.b64_json)).size for item in items] == [(2560, 1440)] * 3
    assert completed.usage == {"generated_images": 3, "output_tokens": 43200, "total_tokens": 43200}


def test_ark_raises_at_an_item_that_fails_within_a_stream(ark: Ark) -> None:
    """The SDK's own way: what comes after the failed item never reaches its user."""
    stream = ark.images.generate(
        model="doubao-seedream-4-0-250828",
        prompt="a story, forbidden-output:2",
        size="1K",
        sequential_image_generation="auto",
        sequential_image_generation_options=SequentialImageGenerationOptions(max_images=3),
        stream=True,
    )
    events = iter(stream)
    assert next(events).image_index == 0
    with pytest.raises(ArkAPIError):
        next(events)


def test_ark_refuses_a_stream_before_it_begins(ark: Ark) -> None:
    with pytest.raises(ArkBadRequestError, match="not supported by the current model"):
        ark.images.generate(model="doubao-seedream-5-0-pro-260628", prompt="x", stream=True)


def test_ark_refuses_a_bad_key_and_a_size_too_small(server: Server, ark: Ark) -> None:
    with pytest.raises(ArkAuthenticationError) as refused:
        Ark(base_url=f"{server.url}/ark/api/v3", api_key="bad").images.generate(
            model="doubao-seedream-4-0-250828", prompt="x"
        )
    assert refused.value.code == "AuthenticationError"
    with pytest.raises(ArkBadRequestError, match="at least 3686400 pixels"):
        ark.images.generate(model="doubao-seedream-4-5-251128", prompt="x", size="1024x1024")


# dashscope


@pytest.fixture
def base_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"{server.url}/dashscope/api/v1"
    monkeypatch.setattr(dashscope, "base_http_api_url", address)
    return address


def test_dashscope_generates_in_one_call(base_address: str) -> None:
    answer = dashscope.MultiModalConversation.call(
        api_key="sk-test-1",
        model="qwen-image-plus",
        messages=[{"role": "user", "content": [{"text": "一只坐着的橘黄色的猫"}]}],
        size="1328*1328",
        seed=42,
        watermark=True,
    )
    assert answer.status_code == 200
    picture = download(answer.output.choices[0].message.content[0]["image"])
    assert (picture.format, picture.size) == ("PNG", (1328, 1328))
    assert answer.usage["image_count"] == 1


def test_dashscope_edits_with_a_data_url(base_address: str) -> None:
    link = "data:image/png;base64," + base64.b64encode(png(120, 60)).decode()
    answer = dashscope.MultiModalConversation.call(
        api_key="sk-test-1",
        model="qwen-image-edit-plus",
        messages=[{"role": "user", "content": [{"image": link}, {"text": "make it blue"}]}],
        n=2,
        size="1033*1032",
    )
    assert answer.status_code == 200
    links = [part["image"] for part in answer.output.choices[0].message.content]
    assert [download(found).size for found in links] == [(1040, 1024)] * 2


def test_dashscope_submits_polls_and_fetches(base_address: str) -> None:
    answer = dashscope.ImageSynthesis.call(
        api_key="sk-test-1", model="qwen-image-plus", prompt="a cat", n=1, size="1664*928", seed=7
    )
    assert answer.output.task_status == "SUCCEEDED"
    assert download(answer.output.results[0].url).size == (1664, 928)
    receipt = dashscope.ImageSynthesis.async_call(api_key="sk-test-1", model="qwen-image", prompt="a dog")
    assert receipt.output.task_status == "PENDING"
    status = ""
    deadline_s = time.monotonic() + 10
    while status != "SUCCEEDED" and time.monotonic() < deadline_s:
        fetched = dashscope.ImageSynthesis.fetch(receipt, api_key="sk-test-1")
        status = fetched.output.task_status
        assert status in ("PENDING", "RUNNING", "SUCCEEDED")
        time.sleep(0.1)
    assert download(fetched.output.results[0].url).size == (1664, 928)
    unknown = dashscope.ImageSynthesis.fetch("0385dc79-5ff8-4d82-bcb6-000000000001", api_key="sk-test-1")
    assert unknown.output.task_status == "UNKNOWN"


def test_dashscope_refuses_a_bad_key_and_a_forbidden_prompt(base_address: str) -> None:
    messages = [{"role": "user", "content": [{"text": "forbidden"}]}]
    refused = dashscope.MultiModalConversation.call(api_key="bad", model="qwen-image", messages=messages)
    assert (refused.status_code, refused.code) == (401, "InvalidApiKey")
    refused = dashscope.MultiModalConversation.call(api_key="sk-test-1", model="qwen-image", messages=messages)
    assert (refused.status_code, refused.code) == (400, "DataInspectionFailed")


def test_the_log_is_readable_over_http(server: Server, openai_client: openai.OpenAI) -> None:
    openai_client.images.generate(model="gpt-image-2", prompt="for the log", size="1024x1024", quality="low")
    with urllib.request.urlopen(f"{server.url}/sandbox/log", timeout=10) as answer:
        entries = json.load(answer)
    mine = [entry for entry in entries if entry["prompt"] == "for the log"]
    assert [(e["method"], e["path"], e["model"], e["outcome"]) for e in mine] == [
        ("POST", "/openai/v1/images/generations", "gpt-image-2", "200")
    ]


# faults on a real socket


def sent_raw(server: Server, fault: str) -> tuple[bytes, bool]:
    """What arrives of one generation, and whether the connection was reset."""
    body = b'{"model":"gpt-image-2","prompt":"raw","size":"1024x1024","quality":"low"}'
    head = (
        "POST /openai/v1/images/generations HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer k\r\n"
        f"content-type: application/json\r\nx-sandbox-fault: {fault}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        arrived = b""
        try:
            while chunk := connection.recv(65_536):
                arrived += chunk
        except ConnectionResetError:
            return arrived, True
        return arrived, False


def test_a_reset_before_the_headers_is_a_reset_without_a_byte(server: Server) -> None:
    assert sent_raw(server, "reset_before") == (b"", True)


def test_a_reset_after_the_headers_lets_the_headers_through(server: Server) -> None:
    arrived, was_reset = sent_raw(server, "reset_after")
    assert was_reset
    assert arrived.startswith(b"HTTP/1.1 200 OK\r\n")
    assert arrived.endswith(b"\r\n\r\n")


def test_a_truncated_body_ends_quietly_half_way(server: Server) -> None:
    started_s = time.monotonic()
    arrived, was_reset = sent_raw(server, "truncated")
    assert time.monotonic() - started_s < 3
    head, _, body = arrived.partition(b"\r\n\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert not was_reset
    assert len(body) == promised // 2


def test_a_reset_reaches_the_sdk_as_a_connection_error(server: Server) -> None:
    """And every attempt of the SDK stands in the log: it did send again."""
    before = len(server.room.journal.entries)
    with (
        openai.OpenAI(api_key="k", base_url=f"{server.url}/openai/v1", max_retries=1) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.images.generate(model="gpt-image-2", prompt="sandbox-fault:reset_before")
    assert [entry.outcome for entry in server.room.journal.entries[before:]] == ["reset_before"] * 2


def test_a_client_that_gives_up_leaves_nothing_running(server: Server) -> None:
    """An answer that never comes is not waited for once its client is gone."""
    with (
        openai.OpenAI(api_key="k", base_url=f"{server.url}/openai/v1", max_retries=0, timeout=0.5) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.images.generate(model="gpt-image-2", prompt="sandbox-fault:pending")
    deadline_s = time.monotonic() + 5
    while server.room.journal.entries[-1].outcome == "open" and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert server.room.journal.entries[-1].outcome == "pending"
