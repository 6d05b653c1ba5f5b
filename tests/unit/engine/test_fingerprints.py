"""When two requests ask for the same, and what is said where they do not."""

from __future__ import annotations

from typing import Any

import pytest

from imageway.bodies import blob_of
from imageway.core.blobs import Blob, Embed, Encoding
from imageway.core.intents import Webhook
from imageway.core.requests import (
    Geometry,
    Group,
    ImageData,
    ImageLink,
    ImageRequest,
    MaskForm,
    Operation,
    Turn,
)
from imageway.engine.fingerprints import blobs_of, differences, fingerprint
from tests.values import replace

CAT = ImageRequest(model="m", prompt="a cat")
ONE, OTHER = blob_of(b"one image"), blob_of(b"another")
MARKS: dict[str, Any] = {
    "operation": Operation.EDIT,
    "prompt": "a dog",
    "negative_prompt": "a dog",
    "turns": (Turn("user", ("a cat",)),),
    "images": (ImageLink("https://pictures.example/1.png", "image"),),
    "mask": ImageLink("https://pictures.example/1.png", "mask"),
    "n": 2,
    "group": Group(2),
    "geometry": Geometry(ratio="1:1"),
    "quality": "high",
    "style": "vivid",
    "background": "opaque",
    "input_fidelity": "high",
    "output_format": "png",
    "output_compression": 80,
    "seed": 7,
    "guidance": 7.5,
    "temperature": 0.5,
    "top_p": 0.5,
    "thinking": "low",
    "watermark": True,
    "enhance_prompt": False,
    "enhance_mode": "fast",
    "moderation": "low",
    "person": "allow_all",
    "want_text": True,
    "user": "somebody",
    "scale": 2,
    "extras": {"invented": 1},
}
DELIVERY: dict[str, Any] = {
    "stream": True,
    "partial_images": 2,
    "family": "gemini",
    "spelled": {"prompt": "contents"},
    "written": {"seed": '"7"'},
    "names": {"images": "input_images"},
}


def of(request: ImageRequest, webhook: Webhook | None = None) -> bytes:
    """The digest of a blob is here its own content."""
    digests = {id(blob): digest(blob) for blob in blobs_of(request)}
    return fingerprint("m", request, webhook, digests)


def digest(blob: Blob) -> bytes:
    return bytes(blob.head)


@pytest.mark.parametrize("name", MARKS)
def test_every_field_counts(name: str) -> None:
    """And is named, as far as it says something else: a conversation takes the place of the prompt."""
    told = differences(of(CAT), of(replace(CAT, **{name: MARKS[name]})))
    expected = {"images": ("images[0]",), "turns": ("prompt", "turns")}
    assert told == expected.get(name, (name,))


@pytest.mark.parametrize("name", DELIVERY)
def test_how_it_is_written_or_delivered_does_not(name: str) -> None:
    assert of(CAT) == of(replace(CAT, **{name: DELIVERY[name]}))


def test_no_field_is_forgotten() -> None:
    assert {"model", *MARKS, *DELIVERY} == set(ImageRequest.__struct_fields__) - ({"prompt"} - MARKS.keys())


def test_the_model_is_the_one_that_is_meant() -> None:
    renamed = fingerprint("m", replace(CAT, model="an alias"), None, {})
    assert renamed == of(CAT)
    assert differences(of(CAT), fingerprint("another", CAT, None, {})) == ("model",)


def test_one_image_is_what_nobody_says() -> None:
    assert of(CAT) == of(replace(CAT, n=1))
    assert of(CAT) == of(replace(CAT, geometry=Geometry()))
    assert of(replace(CAT, guidance=7.0)) == of(replace(CAT, guidance=7))
    assert of(replace(CAT, group=Group(3), n=3)) == of(replace(CAT, group=Group(3, counted=True)))


def test_false_is_not_nothing() -> None:
    assert differences(of(CAT), of(replace(CAT, watermark=False))) == ("watermark",)


def test_images_count_by_their_content_and_place() -> None:
    """Not by where they stood in the body, nor how they were spelled."""
    both = replace(CAT, images=(ImageData(ONE, "image[0]"), ImageData(OTHER, "image[1]")))
    elsewhere = replace(CAT, images=(ImageData(blob_of(b"one image"), "input[3]"), ImageData(OTHER, "input[4]")))
    assert of(both) == of(elsewhere)
    assert differences(of(both), of(replace(both, images=both.images[::-1]))) == ("images[0]", "images[1]")
    assert differences(of(both), of(replace(both, images=both.images[:1]))) == ("images[1]",)
    link = ImageLink("https://pictures.example/1.png", "image[1]")
    assert differences(of(both), of(replace(both, images=(both.images[0], link)))) == ("images[1]",)


def test_a_mask_is_known_by_what_marks_it() -> None:
    light = replace(CAT, mask=ImageData(ONE, "mask", MaskForm.LIGHT))
    clear = replace(CAT, mask=ImageData(ONE, "mask", MaskForm.ALPHA))
    assert differences(of(light), of(clear)) == ("mask",)


def test_a_conversation_is_its_turns() -> None:
    """Prompt and images of such a request only repeat them."""
    image = ImageData(ONE, "contents[0].parts[0]")
    turns = (Turn("user", (image, "a cat")), Turn("model", ("here",), {0: "c2ln"}), Turn("user", ("bigger",)))
    asked = replace(CAT, turns=turns, images=(image,))
    assert of(asked) == of(replace(asked, prompt="a cat\nbigger", images=()))
    for changed in (
        (replace(turns[0], parts=("a cat", image)), *turns[1:]),
        (*turns[:2], Turn("user", ("smaller",))),
        (turns[0], Turn("model", ("here",), {0: "b3RoZXI="}), turns[2]),
        (turns[0], replace(turns[1], role="user"), turns[2]),
    ):
        assert differences(of(asked), of(replace(asked, turns=changed))) == ("turns",)


def test_what_a_provider_signed_is_content_too() -> None:
    asked = replace(CAT, turns=(Turn("user", ("a",)), Turn("model", ("b",), {0: ONE})))
    other = replace(CAT, turns=(Turn("user", ("a",)), Turn("model", ("b",), {0: OTHER})))
    assert list(blobs_of(asked)) == [ONE]
    assert differences(of(asked), of(other)) == ("turns",)


def test_fields_nobody_knows_count_with_their_family() -> None:
    """Only there do they mean anything; bytes in them count by their content."""
    tree: dict[str, Any] = {"a": {"b": [1, {"c": ONE}]}, "d": Embed(OTHER, "data:image/png;base64,")}
    asked = replace(CAT, family="gemini", extras=tree)
    assert list(blobs_of(asked)) == [ONE, OTHER]
    assert of(asked) == of(replace(asked, extras={"d": tree["d"], "a": {"b": [1, {"c": blob_of(b"one image")}]}}))
    assert differences(of(asked), of(replace(asked, family="ark"))) == ("extras",)
    assert differences(of(asked), of(replace(asked, extras={**tree, "d": OTHER}))) == ("extras",)


def test_who_is_told_is_part_of_it() -> None:
    """A second address would never hear of it."""
    hook = Webhook("https://caller.example/hook", ("task.failed", "task.succeeded"))
    assert differences(of(CAT), of(CAT, hook)) == ("webhook",)
    assert of(CAT, hook) == of(CAT, replace(hook, events=hook.events[::-1], param="elsewhere"))


def test_it_is_small_and_tells_nothing() -> None:
    """It lies in the books for a day."""
    print_ = of(replace(CAT, prompt="a very secret cat" * 1000))
    assert b"cat" not in print_
    assert len(print_) < 200


def test_base64_and_bytes_are_one_image() -> None:
    spelled = blob_of(b"b25lIGltYWdl", encoding=Encoding.BASE64)
    asked = (replace(CAT, images=(ImageData(blob, "image"),)) for blob in (ONE, spelled))
    assert len({of(request) for request in asked}) == 1
