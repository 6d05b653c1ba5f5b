"""The official google-genai SDK, pointed at the gateway: both versions of the studio's API and Vertex AI's, pictures of
every family, edits, chats, streams, predictions, models, and its own exception for every error."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth.credentials
import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from tests.integration.processes import House, Process, call, clean_environment

FAMILIES = ("gemini-3.1-flash-image", "gpt-image-1", "doubao-seedream-4-0-250828", "qwen-image-max")
EDITORS = ("gemini-2.5-flash-image", "gpt-image-1", "doubao-seedream-4-0-250828", "qwen-image-edit-plus")
# The SDK gives up its three methods for Imagen next; they are what speaks `:predict`.
pytestmark = pytest.mark.filterwarnings("ignore:The .* method is deprecated")

DOORS = ("v1", "v1beta", "vertex", "vertex v1", "express")


class Token(google.auth.credentials.Credentials):
    """A credential that needs no refreshing: the gateway's key as a bearer token."""

    def __init__(self, key: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.token = key

    @property
    def expired(self) -> bool:
        return False

    def refresh(self, request: object) -> None:
        raise AssertionError("nothing is to be refreshed")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("gemini-sdk") / "data", clean_environment(), ("--sandbox",))
    made.fund("100")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loopback gateway has no use for a proxy, nor for a key that happens to lie about."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def opened(door: str, url: str, key: str, **options: Any) -> genai.Client:
    """The SDK's client as its own documents build it for that door."""
    kind, _, version = door.partition(" ")
    if kind == "vertex":
        http = types.HttpOptions(base_url=url, api_version=version or None, **options)
        return genai.Client(
            vertexai=True, project="my-proj", location="us-central1", credentials=Token(key), http_options=http
        )
    if kind == "express":
        return genai.Client(vertexai=True, api_key=key, http_options=types.HttpOptions(base_url=url, **options))
    http = types.HttpOptions(base_url=url, api_version=door, **options)
    return genai.Client(api_key=key, http_options=http)


@pytest.fixture
def client(house: House, gateway: Process, direct: None) -> genai.Client:
    return opened("v1", gateway.url, house.key)


@pytest.fixture
def vertex(house: House, gateway: Process, direct: None) -> genai.Client:
    return opened("vertex", gateway.url, house.key)


def pictures(answer: types.GenerateContentResponse) -> list[Image.Image]:
    """Every image of every candidate, read to the end."""
    found = []
    for candidate in answer.candidates or []:
        for part in (candidate.content.parts if candidate.content else None) or []:
            if part.inline_data is not None:
                image = Image.open(io.BytesIO(part.inline_data.data or b""))
                image.load()
                found.append(image)
    return found


def png(size: tuple[int, int] = (640, 480), colour: str = "navy") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def wide(**more: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9", **more)
    )


@pytest.mark.parametrize("door", DOORS)
def test_it_generates_at_every_door(house: House, gateway: Process, door: str) -> None:
    before = house.money().spent
    client = opened(door, gateway.url, house.key)
    answer = client.models.generate_content(
        model="gemini-3.1-flash-image", contents="A red fox", config=wide(image_size="2K")
    )
    assert [image.size for image in pictures(answer)] == [(2752, 1536)]
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.candidates_token_count
    assert answer.model_version == "gemini-3.1-flash-image"
    assert house.money().spent - before == 101_000


@pytest.mark.parametrize("model", FAMILIES)
def test_every_family_draws_the_ratio_that_was_asked_for(client: genai.Client, house: House, model: str) -> None:
    before = house.money().spent
    answer = client.models.generate_content(model=model, contents="A red fox", config=wide())
    (image,) = pictures(answer)
    assert image.width / image.height == pytest.approx(1.5 if model.startswith("gpt") else 16 / 9, rel=0.03)
    assert answer.usage_metadata is not None
    assert house.money().spent > before


def test_several_candidates_are_several_pictures(client: genai.Client, house: House) -> None:
    before = house.money().spent
    config = types.GenerateContentConfig(candidate_count=3, seed=7)
    answer = client.models.generate_content(model="gemini-2.5-flash-image", contents="A red fox", config=config)
    assert len(pictures(answer)) == 3
    assert house.money().spent - before == 3 * 39_000


@pytest.mark.parametrize("model", EDITORS)
def test_it_edits_with_every_family(client: genai.Client, model: str) -> None:
    image = types.Part.from_bytes(data=png(), mime_type="image/png")
    answer = client.models.generate_content(model=model, contents=[image, "Add a hat"])
    assert len(pictures(answer)) == 1


def test_text_comes_beside_the_picture(client: genai.Client) -> None:
    config = types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"])
    answer = client.models.generate_content(model="gemini-3-pro-image", contents="A red fox", config=config)
    assert answer.text
    assert len(pictures(answer)) == 1


def test_the_file_is_of_the_format_asked_for(vertex: genai.Client) -> None:
    config = wide(output_mime_type="image/jpeg", output_compression_quality=80)
    answer = vertex.models.generate_content(model="gpt-image-1", contents="A red fox", config=config)
    assert [image.format for image in pictures(answer)] == ["JPEG"]


@pytest.mark.parametrize("model", FAMILIES[:3])
def test_a_chat_goes_on_from_its_own_picture(client: genai.Client, model: str) -> None:
    """What was signed goes back as it came; the SDK keeps it in the chat's history."""
    chat = client.chats.create(model=model)
    first = chat.send_message("A red fox")
    second = chat.send_message("Make it blue")
    assert len(pictures(first)) == len(pictures(second)) == 1
    roles = [entry.role for entry in chat.get_history(curated=True)]
    assert roles == ["user", "model", "user", "model"]


def test_what_was_not_honoured_is_told_in_a_header(client: genai.Client) -> None:
    answer = client.models.generate_content(model="gpt-image-1", contents="A red fox", config=wide())
    assert answer.sdk_http_response is not None
    told = json.loads((answer.sdk_http_response.headers or {})["x-imageway-warnings"])
    assert [(each["code"], each["param"]) for each in told] == [
        ("size_adjusted", "generationConfig.imageConfig.aspectRatio")
    ]


def test_strict_refuses_what_it_would_have_told(house: House, gateway: Process, direct: None) -> None:
    strict = opened("v1", gateway.url, house.key, headers={"Imageway-Strict": "1"})
    images = types.GenerateContentConfig(response_modalities=["IMAGE"])
    assert len(pictures(strict.models.generate_content(model="gpt-image-1", contents="A red fox", config=images))) == 1
    with pytest.raises(errors.ClientError, match="aspectRatio") as refused:
        strict.models.generate_content(model="gpt-image-1", contents="A red fox", config=wide())
    assert refused.value.code == 400


@pytest.mark.parametrize("size", [300, 2_000_000])
@pytest.mark.parametrize("modalities", [["IMAGE"], ["TEXT", "IMAGE"]])
def test_what_was_signed_comes_back_as_it_was(client: genai.Client, size: int, modalities: list[str]) -> None:
    """The model refuses a picture of its own without its signature, and one that was altered. Streams sign too."""
    config = types.GenerateContentConfig(response_modalities=modalities)
    chat = client.chats.create(model="gemini-3-pro-image", config=config)
    answer = chat.send_message(f"A red fox sandbox-signature:{size}")
    signed = [part for part in answer.parts or [] if part.inline_data]
    assert [len(part.thought_signature or b"") for part in signed] == [size]
    assert sum(len(pictures(chunk)) for chunk in chat.send_message_stream("Make it blue")) == 1
    assert len(pictures(chat.send_message("Make it green"))) == 1


def test_a_signature_that_was_altered_is_the_callers_mistake(client: genai.Client, house: House) -> None:
    answer = client.models.generate_content(model="gemini-3-pro-image", contents="A boat")
    drawn = (answer.candidates or [])[0].content
    assert drawn is not None
    before = house.money()
    for part in drawn.parts or []:
        part.thought_signature = b"altered"
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="gemini-3-pro-image", contents=["A boat", drawn, "Make it red"])
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert "signatures in contents" in str(caught.value)
    assert house.money() == before


def test_what_another_model_drew_can_be_gone_on_with(client: genai.Client) -> None:
    """Nobody signed it; the conversation goes on all the same."""
    begun = client.chats.create(model="gpt-image-1-mini")
    begun.send_message("A red fox")
    chat = client.chats.create(model="gemini-3-pro-image", history=begun.get_history(curated=True))
    assert len(pictures(chat.send_message("Make it blue"))) == 1


@pytest.mark.parametrize("door", ["v1", "v1beta", "vertex"])
@pytest.mark.parametrize("model", FAMILIES)
def test_it_streams_with_every_family(house: House, gateway: Process, door: str, model: str) -> None:
    before = house.money().spent
    client = opened(door, gateway.url, house.key)
    chunks = list(client.models.generate_content_stream(model=model, contents="A red fox"))
    assert sum(len(pictures(chunk)) for chunk in chunks) == 1
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata is not None
    assert house.money().spent > before


async def test_the_asynchronous_client_streams_too(client: genai.Client) -> None:
    config = types.GenerateContentConfig(candidate_count=2)
    stream = await client.aio.models.generate_content_stream(
        model="gpt-image-1-mini", contents="A red fox", config=config
    )
    assert sum([len(pictures(chunk)) async for chunk in stream]) == 2


def test_a_stream_that_nothing_comes_over_stays_alive(house: House, direct: None, tmp_path: Path) -> None:
    """What is written meanwhile must not be taken for an answer: the SDK takes a comment for JSON."""
    (tmp_path / "imageway.toml").write_text("[connections]\nheartbeat_s = 0.2\n")
    patient = house.serve(IMAGEWAY_CONFIG=str(tmp_path / "imageway.toml"))
    client = opened("v1", patient.url, house.key)
    stream = client.models.generate_content_stream(
        model="gemini-3.1-flash-image", contents="sandbox-fault:late A red fox"
    )
    assert sum(len(pictures(chunk)) for chunk in stream) == 1


def test_without_sse_the_stream_is_a_list(house: House, gateway: Process) -> None:
    url = f"{gateway.url}/v1beta/models/gpt-image-1-mini:streamGenerateContent?key={house.key}"
    answer = call(url, {"contents": [{"parts": [{"text": "A red fox"}]}]})
    assert answer.status == 200
    assert [list(chunk) for chunk in answer.json] == [["candidates", "modelVersion", "responseId", "usageMetadata"]]


@pytest.mark.parametrize("model", FAMILIES)
def test_it_predicts_with_every_family(vertex: genai.Client, model: str) -> None:
    config = types.GenerateImagesConfig(number_of_images=2, aspect_ratio="4:3", output_mime_type="image/png")
    answer = vertex.models.generate_images(model=model, prompt="A red fox", config=config)
    assert answer.generated_images is not None
    images = [each.image.image_bytes for each in answer.generated_images if each.image]
    assert len(images) == 2
    assert all(Image.open(io.BytesIO(image or b"")).format == "PNG" for image in images)


def test_it_edits_by_reference(vertex: genai.Client) -> None:
    reference = types.RawReferenceImage(
        reference_id=1, reference_image=types.Image(image_bytes=png(), mime_type="image/png")
    )
    answer = vertex.models.edit_image(
        model="gpt-image-1", prompt="Add a hat", reference_images=[reference], config=types.EditImageConfig()
    )
    assert answer.generated_images is not None
    assert len(answer.generated_images) == 1


def test_it_lists_and_finds_models(client: genai.Client, vertex: genai.Client) -> None:
    """Page by page; the names are those the catalog has."""
    pager = client.models.list(config={"page_size": 5})
    assert len(pager) == 5
    names = {model.name for model in pager}
    assert {f"models/{model}" for model in FAMILIES} <= names
    found = client.models.get(model="gemini-3.1-flash-image")
    assert (found.name, found.input_token_limit) == ("models/gemini-3.1-flash-image", 131_072)
    assert "publishers/google/models/gpt-image-1" in {model.name for model in vertex.models.list()}
    assert vertex.models.get(model="gpt-image-1").name == "publishers/google/models/gpt-image-1"


# Errors


@pytest.mark.parametrize(("door", "status"), [("v1", 400), ("v1beta", 400), ("vertex", 401), ("express", 401)])
def test_a_bad_key_is_the_sdks_client_error(gateway: Process, direct: None, door: str, status: int) -> None:
    client = opened(door, gateway.url, "sk-iw-wrong")
    with pytest.raises(errors.ClientError) as refused:
        client.models.generate_content(model="gpt-image-1", contents="A red fox")
    assert refused.value.code == status
    assert "API_KEY_INVALID" in str(refused.value.details)


def test_bad_input_is_told_with_every_field(client: genai.Client, house: House) -> None:
    before = len(house.usage())
    config = types.GenerateContentConfig(candidate_count=11, image_config=types.ImageConfig(image_size="huge"))
    with pytest.raises(errors.ClientError) as refused:
        client.models.generate_content(model="gpt-image-1", contents="A red fox", config=config)
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    told: Any = refused.value.details
    fields = [each["field"] for each in told["error"]["details"][1]["fieldViolations"]]
    assert fields == ["generationConfig.candidateCount", "generationConfig.imageConfig.imageSize"]
    assert len(house.usage()) == before


def test_files_of_the_vendor_are_refused_by_name(client: genai.Client) -> None:
    kept = types.Part.from_uri(
        file_uri="https://generativelanguage.googleapis.com/v1beta/files/abc", mime_type="image/png"
    )
    with pytest.raises(errors.ClientError, match="inlineData") as refused:
        client.models.generate_content(model="gpt-image-1", contents=[kept, "Add a hat"])
    assert refused.value.code == 400


def test_an_unknown_model_is_not_found(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match="gpt-image-1") as refused:
        client.models.generate_content(model="gpt-imagge-1", contents="A red fox")
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")


def test_an_empty_wallet_is_a_client_error(house: House, gateway: Process, direct: None) -> None:
    poor = opened("v1", gateway.url, house.key_for("poor"))
    with pytest.raises(errors.ClientError) as refused:
        poor.models.generate_content(model="gpt-image-1", contents="A red fox")
    assert (refused.value.code, refused.value.status) == (402, "FAILED_PRECONDITION")


def test_a_model_that_a_key_may_not_use_is_denied(house: House, gateway: Process, direct: None) -> None:
    key = house.key_for("w", models=("gemini-*",))
    client = opened("v1", gateway.url, key)
    with pytest.raises(errors.ClientError) as refused:
        client.models.generate_content(model="gpt-image-1", contents="A red fox")
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")


def test_a_refused_prompt_is_an_answer_without_candidates(client: genai.Client, house: House) -> None:
    spent = house.money().spent
    answer = client.models.generate_content(model="gemini-3.1-flash-image", contents="forbidden things")
    assert answer.candidates is None
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    chunks = list(client.models.generate_content_stream(model="gpt-image-1", contents="forbidden things"))
    assert [chunk.prompt_feedback is not None for chunk in chunks] == [True]
    assert house.money().spent == spent


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse"])
def test_seeds_come_back_beside_the_body(house: House, gateway: Process, method: str) -> None:
    """This format has no place for them in it."""
    body = {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"seed": 7, "candidateCount": 2}}
    answer = call(f"{gateway.url}/v1beta/models/gemini-3.1-flash-image:{method}", body, key=house.key)
    assert (answer.status, answer.headers["x-imageway-seeds"]) == (200, "7,8")


def test_a_refused_stream_is_still_a_stream(house: House, gateway: Process) -> None:
    url = f"{gateway.url}/v1beta/models/gpt-image-1:streamGenerateContent?alt=sse"
    answer = call(url, {"contents": [{"parts": [{"text": "forbidden things"}]}]}, key=house.key)
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert answer.content.startswith(b'data: {"promptFeedback":')


def test_a_429_is_asked_again_when_the_sdk_is_told_to(house: House, gateway: Process, direct: None) -> None:
    """By itself it asks once; with two attempts, twice."""
    before = len(house.usage())
    retry = types.HttpRetryOptions(attempts=2, initial_delay=0.1, max_delay=0.2)
    asking = opened("v1", gateway.url, house.key, retry_options=retry)
    with pytest.raises(errors.ClientError) as refused:
        asking.models.generate_content(model="gpt-image-1", contents="sandbox-fault:rate_limit_bare")
    assert (refused.value.code, refused.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "retryDelay" in str(refused.value.details)
    assert len(house.usage()) == before + 2


@pytest.mark.parametrize(("fault", "status"), [("reset_after", 504), ("html", 502), ("empty", 502), ("error_500", 502)])
def test_what_an_upstream_breaks_is_a_server_error(client: genai.Client, house: House, fault: str, status: int) -> None:
    spent = house.money().spent
    with pytest.raises(errors.ServerError) as failed:
        client.models.generate_content(model="gemini-3.1-flash-image", contents=f"sandbox-fault:{fault}")
    assert failed.value.code == status
    assert house.money().spent == spent


def test_files_are_not_kept_here(client: genai.Client) -> None:
    """The SDK's own error, in the vendor's envelope, for a path that nobody owns."""
    with pytest.raises(errors.ClientError) as refused:
        client.files.upload(file=io.BytesIO(png()), config={"mime_type": "image/png"})
    assert refused.value.code == 404
    assert refused.value.status == "NOT_FOUND"
