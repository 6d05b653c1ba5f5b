"""The official openai SDK, edits and streams: files and masks as forms, JSON edits, variations, previews while an image
is drawn, and Azure's paths with Azure's client."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from PIL import Image, ImageChops, ImageDraw

from tests.integration.processes import House, Process, clean_environment

EDITORS = ("gpt-image-1", "gemini-2.5-flash-image", "doubao-seedream-4-0-250828", "qwen-image-edit-plus")
STREAMERS = ("gpt-image-1", "gemini-3-pro-image", "doubao-seedream-4-5-251128", "qwen-image-max")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("openai-edits") / "data", clean_environment(), ("--sandbox",))
    made.fund("100")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture
def client(house: House, gateway: Process, monkeypatch: pytest.MonkeyPatch) -> Iterator[openai.OpenAI]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with openai.OpenAI(api_key=house.key, base_url=f"{gateway.url}/v1") as made:
        yield made


def png(size: tuple[int, int] = (1024, 1024), colour: str = "navy", alpha: int = 255) -> bytes:
    """A plain picture; with `alpha` 0, one whose left half is cut out."""
    image = Image.new("RGBA", size, colour)
    if alpha == 0:
        ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1]), fill=(0, 0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def opened(text: str | None) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(text or "")))
    image.load()
    return image


@pytest.mark.parametrize("model", EDITORS)
def test_it_edits_with_every_family(client: openai.OpenAI, model: str) -> None:
    answer = client.images.edit(
        model=model, image=("cat.png", png(), "image/png"), prompt="a red hat", response_format="b64_json"
    )
    assert answer.data is not None
    assert min(opened(answer.data[0].b64_json).size) >= 768


def test_two_files_and_a_mask(client: openai.OpenAI) -> None:
    """What the mask keeps is kept to the pixel."""
    answer = client.images.edit(
        model="gpt-image-1",
        image=[("cat.png", png(), "image/png"), ("hat.png", png(colour="red"), "image/png")],
        mask=("mask.png", png(alpha=0), "image/png"),
        prompt="put the hat on the cat",
        size="1024x1024",
        quality="low",
        input_fidelity="high",
    )
    assert answer.data is not None
    edited = opened(answer.data[0].b64_json).convert("RGB")
    kept = (700, 300, 1000, 700)
    before = Image.open(io.BytesIO(png())).convert("RGB").crop(kept)
    assert ImageChops.difference(edited.crop(kept), before).getbbox() is None
    assert ImageChops.difference(edited.crop((0, 300, 400, 700)), before.resize((400, 400))).getbbox() is not None
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens > 0


def test_raw_bytes_without_a_type_are_looked_at(client: openai.OpenAI) -> None:
    """The SDK names them `upload`, of type application/octet-stream."""
    answer = client.images.edit(model="gpt-image-1-mini", image=png(), prompt="a hat", quality="low")
    assert answer.data is not None
    assert opened(answer.data[0].b64_json).size == (1024, 1024)


def test_an_edit_in_json(client: openai.OpenAI) -> None:
    link = "data:image/png;base64," + base64.b64encode(png()).decode()
    answer: Any = client.post(
        "/images/edits",
        body={"model": "gpt-image-1", "prompt": "a hat", "images": [{"image_url": link}], "quality": "low"},
        cast_to=object,
    )
    assert opened(answer["data"][0]["b64_json"]).size == (1024, 1024)


def test_transparency_is_real(client: openai.OpenAI) -> None:
    answer = client.images.edit(
        model="gpt-image-1",
        image=("cat.png", png(), "image/png"),
        prompt="a hat",
        background="transparent",
        output_format="webp",
        output_compression=60,
        quality="low",
    )
    assert answer.data is not None
    image = opened(answer.data[0].b64_json)
    assert (image.format, image.mode) == ("WEBP", "RGBA")
    assert image.getchannel("A").getextrema()[0] == 0


def test_a_variation_is_an_edit_with_a_warning(client: openai.OpenAI) -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        answer = client.images.create_variation(image=("cat.png", png(), "image/png"), model="gpt-image-1", n=1)
    assert answer.data is not None
    assert opened(answer.data[0].b64_json).size == (1024, 1024)
    told: Any = answer
    assert "variation" in str(told.warnings)


@pytest.mark.parametrize(
    ("files", "param"),
    [
        ({"image": ("a.png", b"<html></html>", "image/png")}, "image"),
        ({"image": ("a.png", png(), "image/png"), "mask": ("m.png", png((512, 512), alpha=0), "image/png")}, "mask"),
    ],
)
def test_a_bad_file_is_a_bad_request(client: openai.OpenAI, house: House, files: dict[str, Any], param: str) -> None:
    before = len(house.usage())
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.edit(model="gpt-image-1", prompt="a hat", **files)
    assert refused.value.param == param
    assert len(house.usage()) == before


def test_seventeen_files_are_one_too_many(client: openai.OpenAI) -> None:
    files = [(f"{n}.png", png((256, 256)), "image/png") for n in range(17)]
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.edit(model="gpt-image-1", prompt="a collage", image=files)
    assert "16" in refused.value.message


@pytest.mark.parametrize("model", STREAMERS)
def test_it_streams_with_every_family(client: openai.OpenAI, house: House, model: str) -> None:
    """Previews where the provider draws them; the image itself in any case, paid for once."""
    before = house.money().spent
    events: list[Any] = list(client.images.generate(model=model, prompt="a boat", stream=True, partial_images=2))
    assert events[-1].type == "image_generation.completed"
    assert min(opened(events[-1].b64_json).size) >= 768
    previews = [event for event in events if event.type == "image_generation.partial_image"]
    assert [event.partial_image_index for event in previews] == list(range(len(previews)))
    assert (len(previews) > 0) == (model == "gpt-image-1")
    assert events[-1].usage is not None
    assert house.money().spent > before


def test_an_edit_streams_and_counts_its_tokens(client: openai.OpenAI) -> None:
    stream = client.images.edit(
        model="gpt-image-1",
        image=("cat.png", png(), "image/png"),
        prompt="a hat",
        quality="low",
        stream=True,
        partial_images=1,
    )
    events: list[Any] = list(stream)
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]
    assert opened(events[0].b64_json).size == opened(events[1].b64_json).size == (1024, 1024)
    assert events[1].usage.input_tokens_details.image_tokens > 0


def test_what_a_model_writes_unseen_is_the_same_in_answer_bill_and_usage_record(
    client: openai.OpenAI, house: House
) -> None:
    """An event of its provider's stream says how many tokens there were, and of which kind only for the input."""
    model, asked = "gpt-image-1.5", {"prompt": "a boat", "quality": "medium", "size": "1024x1024"}
    (last,) = list(client.images.generate(model=model, stream=True, **asked))  # type: ignore[call-overload]
    details = last.usage.model_extra["output_tokens_details"]
    written, drawn = details["text_tokens"], details["image_tokens"]
    assert written > 0
    assert drawn == 1056
    assert last.usage.output_tokens == written + drawn
    row = house.newest()
    assert row.request_id == last.request_id
    assert (row.output_text_tokens, row.output_image_tokens) == (written, drawn)
    lines = {line["what"]: line["quantity"] for line in json.loads(row.lines)["price"]}
    assert (lines["output text tokens"], lines["output image tokens"]) == (str(written), str(drawn))


def test_what_is_wrong_before_a_stream_has_a_status(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.images.generate(model="gpt-image-1", prompt="a boat", n=11, stream=True)
    with pytest.raises(openai.BadRequestError) as refused:
        list(client.images.generate(model="gpt-image-1", prompt="forbidden things", stream=True))
    assert refused.value.code == "content_policy_violation"


def test_a_stream_that_dies_ends_with_an_error_and_charges_nothing(client: openai.OpenAI, house: House) -> None:
    before = house.money().spent
    stream = client.images.generate(
        model="gpt-image-1", prompt="sandbox-fault:reset_mid", stream=True, partial_images=2
    )
    assert next(stream).type == "image_generation.partial_image"
    with pytest.raises(openai.APIError) as failed:
        list(stream)
    assert failed.value.code == "request_timeout"
    assert house.money().spent == before


def test_azures_client_draws_and_edits(house: House, gateway: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with openai.AzureOpenAI(api_key=house.key, azure_endpoint=gateway.url, api_version="2025-04-01-preview") as azure:
        drawn = azure.images.generate(model="gpt-image-1", prompt="a boat", quality="low")
        edited = azure.images.edit(model="gpt-image-1", image=("a.png", png(), "image/png"), prompt="a hat")
        with pytest.raises(openai.NotFoundError):
            azure.images.generate(model="no-such-deployment", prompt="a boat")
    for answer in (drawn, edited):
        assert answer.data is not None
        assert opened(answer.data[0].b64_json).size == (1024, 1024)
