"""File formats and qualities in every dialect's own fields, at models that make only one: what comes is what was asked
for. What fits already is not touched, and keeps what its provider wrote into it; what was converted says that it did
not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tests.acceptance.tongues import TONGUES, Order, Told, Tongue, events_of
from tests.integration.processes import House, Process, call, clean_environment

MAKERS = {"png": "qwen-image-plus", "jpeg": "doubao-seedream-4-0-250828"}
"""What comes → the model that makes nothing else, and cannot be asked for anything else."""

FORMATS = ("png", "jpeg", "webp")
tongues = pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.name)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("formats") / "data", clean_environment(), ("--sandbox",))
    made.fund("50")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


def drawn(told: Told) -> tuple[bytes, Image.Image]:
    assert told.status == 200, told.whole
    (content,) = told.pictures()
    image = Image.open(io.BytesIO(content))
    image.load()
    return content, image


def is_signed(image: Image.Image) -> bool:
    """Whether what the pretend provider writes beside the pixels, as real ones write their provenance, is there."""
    return "Imageway sandbox" in f"{image.info.get('Software', '')} {image.getexif().get(0x0131, '')}"


def order(model: str, file_format: str | None, quality: int | None = None) -> Order:
    return Order(
        model=model,
        file_format=file_format,
        quality=quality,
        pixels=(1024, 1024),
        ratio=(1, 1),
        tier="1K",
        prompt="a sea",
    )


@tongues
@pytest.mark.parametrize("came", MAKERS)
@pytest.mark.parametrize("wanted", [None, *FORMATS])
def test_a_format_is_had_whatever_the_model_makes(
    house: House, gateway: Process, tongue: Tongue, came: str, wanted: str | None
) -> None:
    told = tongue.ask(gateway.url, house.key, order(MAKERS[came], wanted))
    _, image = drawn(told)
    assert (image.format or "").lower() == (wanted or came)
    converted = [each for each in told.warnings if each["code"] == "transcoded"]
    if wanted in (None, came):
        assert (is_signed(image), converted) == (True, [])
    else:
        assert not is_signed(image)
        assert len(converted) == 1
        assert "provenance metadata of the original bytes is lost" in converted[0]["message"]


@pytest.mark.parametrize("tongue", [each for each in TONGUES if each.writes_quality], ids=lambda tongue: tongue.name)
@pytest.mark.parametrize("came", MAKERS)
def test_a_quality_is_had_even_where_the_format_fits(house: House, gateway: Process, tongue: Tongue, came: str) -> None:
    sizes = []
    for quality in (90, 5):
        told = tongue.ask(gateway.url, house.key, order(MAKERS[came], "jpeg", quality))
        content, image = drawn(told)
        assert image.format == "JPEG"
        assert "transcoded" in {each["code"] for each in told.warnings}
        sizes.append(len(content))
    assert sizes[1] < sizes[0] * 0.7, sizes


@tongues
def test_a_model_that_can_be_asked_is_asked(house: House, gateway: Process, tongue: Tongue) -> None:
    """And signs what it gives."""
    quality = 40 if tongue.writes_quality else None
    told = tongue.ask(gateway.url, house.key, order("gpt-image-1-mini", "jpeg", quality))
    _, image = drawn(told)
    assert (image.format, is_signed(image)) == ("JPEG", True)
    assert "transcoded" not in {each["code"] for each in told.warnings}


STREAMS = {
    "openai": ("/v1/images/generations", {"output_format": "webp", "response_format": "b64_json"}),
    "ark": ("/api/v3/images/generations", {"output_format": "webp"}),
    "omixa": ("/api/v1/images/generations", {"output_format": "webp"}),
}


@pytest.mark.parametrize("name", [*STREAMS, "gemini"])
def test_a_stream_tells_at_its_end_what_its_header_could_not(house: House, gateway: Process, name: str) -> None:
    """That an image was converted is known once it is there."""
    if name == "gemini":
        config = {"imageConfig": {"imageOutputOptions": {"mimeType": "image/webp"}}}
        body: dict[str, Any] = {"contents": [{"parts": [{"text": "a sea"}]}], "generationConfig": config}
        path = f"/v1beta/models/{MAKERS['png']}:streamGenerateContent?alt=sse"
    else:
        path, fields = STREAMS[name]
        body = {"model": MAKERS["png"], "prompt": "a sea", "stream": True, **fields}
    answer = call(f"{gateway.url}{path}", body, key=house.key)
    assert answer.status == 200, answer.content
    assert "transcoded" not in answer.headers.get("x-imageway-warnings", "")
    last = [data for _, data in events_of(answer.content) if isinstance(data, dict)][-1]
    assert "transcoded" in [each["code"] for each in last["warnings"]]
