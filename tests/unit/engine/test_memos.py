"""What a restart reads is what was written: the next read of a polled task, and of a request everything that fitting,
decoding, proving and settling still ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.catalog import Catalog, check, fit
from imageway.core.requests import Geometry, Group, ImageLink, ImageRequest, Operation, RequestWarning, Turn
from imageway.core.steps import HttpRequest, JsonBody, Secret, Send
from imageway.engine.memos import (
    KeptTask,
    pack_memo,
    pack_task,
    plain_fields,
    request_of,
    unpack_memo,
    unpack_task,
)

EVERYTHING: dict[str, Any] = {
    "family": "somebody",
    "scale": 2,
    "operation": Operation.EDIT,
    "prompt": "eine Katze, 猫, \U0001f408",
    "negative_prompt": "dogs",
    "n": 3,
    "quality": "high",
    "style": "vivid",
    "background": "transparent",
    "input_fidelity": "high",
    "output_format": "webp",
    "output_compression": 80,
    "seed": -1,
    "guidance": 7.0,
    "temperature": 0.5,
    "top_p": 1.0,
    "thinking": "low",
    "watermark": False,
    "enhance_prompt": True,
    "enhance_mode": "fast",
    "moderation": "low",
    "person": "allow_adult",
    "want_text": True,
    "stream": False,
    "partial_images": 0,
    "user": "somebody",
}


def kept(request: ImageRequest, **fields: Any) -> KeptTask:
    return KeptTask(
        **{
            "request": plain_fields(request),
            "counts": (2, 1),
            "form": "url",
            "hold_usd_micros": 123_456,
            "geometry": request.geometry,
            "group": request.group,
            **fields,
        }
    )


def test_a_read_comes_back_as_it_was() -> None:
    request = HttpRequest("GET", "/tasks/a%2Fb", headers={"x-async": "1"}, query={"page": "2"})
    send = Send(request, after_s=2.5, memo={"task_id": "a/b"}, effect="read")
    assert unpack_memo(pack_memo(send)) == send


def test_what_comes_back_is_a_read_whatever_was_written() -> None:
    """A restart never submits."""
    assert unpack_memo(pack_memo(Send(HttpRequest("POST", "/generate"), memo={"a": "b"}))).effect == "read"


def test_no_secret_and_no_body_is_written() -> None:
    headers: dict[str, str | Secret] = {"authorization": Secret("api_key"), "x-async": "1"}
    request = HttpRequest("POST", "/p", JsonBody({"prompt": "a cat"}), headers, {"key": Secret("api_key")})
    written = pack_memo(Send(request, memo={"id": "1"}))
    assert b"api_key" not in written
    assert b"cat" not in written
    assert json.loads(written)["headers"] == {"x-async": "1"}


@given(
    st.builds(
        Send,
        st.builds(
            HttpRequest,
            st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
            st.text(st.characters(exclude_categories=["Cs"])),
            headers=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.just("v")),
        ),
        after_s=st.floats(0, 1e6),
        memo=st.dictionaries(st.just("id"), st.text(st.characters(exclude_categories=["Cs"]))),
        effect=st.just("read"),
    )
)
def test_every_read_survives(send: Send) -> None:
    assert unpack_memo(pack_memo(send)) == send


def test_every_plain_field_survives() -> None:
    asked = ImageRequest(model="m", geometry=Geometry(ratio="16:9", tier="2K"), group=Group(4), **EVERYTHING)
    assert request_of(unpack_task(pack_task(kept(asked)))) == asked


def test_no_field_was_forgotten_here() -> None:
    """A field that is added to core's ImageRequest is kept, or is one of those that are known not to be plain."""
    elsewhere = {"model", "turns", "images", "mask", "group", "geometry", "extras", "spelled", "written", "names"}
    assert set(ImageRequest.__struct_fields__) == set(EVERYTHING) | elsewhere


@pytest.mark.parametrize("geometry", [None, Geometry(1024, 768), Geometry(auto=True), Geometry(tier="4K")])
def test_the_geometry_survives(geometry: Geometry | None) -> None:
    asked = ImageRequest(model="m", prompt="a cat", geometry=geometry)
    assert request_of(unpack_task(pack_task(kept(asked)))) == asked


def test_input_images_are_counted() -> None:
    """What is resumed was submitted already; prices still ask how many there were."""
    asked = ImageRequest(model="m", prompt="a cat", turns=(Turn("user", ("look", ImageLink("https://x.test", "a"))),))
    again = request_of(unpack_task(pack_task(kept(asked, inputs=3))))
    assert len(again.images) == 3


def test_the_callers_own_names_survive() -> None:
    """A warning about a resumed task still speaks of what its caller wrote."""
    asked = ImageRequest(model="m", spelled={"geometry": "size"})
    again = request_of(unpack_task(pack_task(kept(asked, spelled=dict(asked.spelled)))))
    assert again.param("geometry") == "size"


def test_the_rest_of_a_task_survives() -> None:
    warnings = (RequestWarning("model_renamed", "model", "by another name"), RequestWarning("x", None, "y"))
    task = kept(ImageRequest(model="m"), warnings=warnings, inputs=2)
    assert unpack_task(pack_task(task)) == task


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("gpt-image-2", {"quality": "low", "geometry": Geometry(1536, 1024), "n": 2}),
        ("gemini-3.1-flash-image", {"geometry": Geometry(ratio="16:9", tier="2K")}),
        ("qwen-image", {"seed": 7, "negative_prompt": "dogs", "watermark": True}),
        ("doubao-seedream-4-0-250828", {"group": Group(3), "geometry": Geometry(tier="2K")}),
    ],
)
def test_a_resumed_request_is_fitted_as_the_first_was(catalog: Catalog, model: str, fields: dict[str, Any]) -> None:
    """Else the bill of a resumed task would differ."""
    found = catalog.models[model]
    asked = check(found, ImageRequest(model=model, prompt="a cat", **fields)).request
    again = request_of(unpack_task(pack_task(kept(asked))))
    for offering in found.offerings:
        assert fit(found, offering, again) == fit(found, offering, asked)
