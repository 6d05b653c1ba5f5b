"""Linked input images: fetched once each, opened from our own store where the link is ours, and every problem told at
once, by the caller's own name and never in a host's words."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytest
from PIL import Image

from imageway.bodies import blob_of, read_decoded
from imageway.catalog.schema import Inputs, Offering
from imageway.core.errors import InvalidRequest, Problem
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.requests import ImageData, ImageInput, ImageLink, ImageRequest, MaskForm, Operation
from imageway.core.steps import BlobReply, FailureKind
from imageway.engine.inputs import check_mask, check_weight, hold_all, problem_with
from imageway.engine.ports import Tools
from imageway.media.uploads import stored_name
from tests.values import replace

LIMITS = Inputs(maximum=4, formats=("png", "jpeg"), max_bytes=5_000, max_pixels=10_000)
NOW_MS = 1_760_000_000_000
WORKSPACE = "ws_1"
T = TypeVar("T")


def made(file_format: str = "PNG", size: tuple[int, int] = (50, 50)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, file_format)
    return out.getvalue()


def reply(content: bytes) -> BlobReply:
    return BlobReply(blob_of(content), "image/png")


def web(tools: Tools) -> Any:
    return cast("Any", tools.transport)


async def held(tools: Tools, *images: ImageInput) -> dict[int, ImageData]:
    scope = tools.spool.scope()
    return await hold_all(tools, images, LIMITS, scope, WORKSPACE)


async def problems(tools: Tools, *images: ImageInput) -> tuple[Problem, ...]:
    with pytest.raises(InvalidRequest) as told:
        await held(tools, *images)
    return told.value.details


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<html></html>", "invalid_image"),
        (made("WEBP"), "unsupported_image_format"),
        (made(size=(101, 100)), "image_too_large"),
        (made()[:-1], "invalid_image"),
        (made() + b"\0" * 6_000, "image_too_large"),
    ],
)
def test_what_is_wrong_with_an_image(content: bytes, code: str) -> None:
    problem = problem_with(ImageData(blob_of(content), "image[3]"), LIMITS)
    assert problem is not None
    assert (problem.param, problem.code) == ("image[3]", code)
    assert problem.message.startswith("image[3] ")


@pytest.mark.parametrize("content", [made(), made("JPEG"), made(size=(100, 100))])
def test_nothing_is_wrong_with_a_good_one(content: bytes) -> None:
    assert problem_with(ImageData(blob_of(content), "image"), LIMITS) is None


async def test_a_link_is_fetched_once_however_often_it_stands_there(tools: Tools) -> None:
    link = ImageLink("https://x.test/a.png", "image")
    web(tools).replies[link.url] = reply(made())
    got = await held(tools, link, link, ImageData(blob_of(made()), "sent"))
    assert list(got) == [id(link)]
    assert web(tools).asked == [link.url]
    assert got[id(link)].param == "image"


async def test_every_problem_is_told_at_once(tools: Tools) -> None:
    links = [ImageLink(f"https://x.test/{name}", f"image[{name}]") for name in ("0", "1", "2", "3")]
    web(tools).replies |= {
        links[0].url: FetchRefused("image_url_status", "its host answered 404"),
        links[1].url: TransportFailed(FailureKind.SPOILED, "SpoolFull of /var/spool/secret"),
        links[2].url: reply(made("WEBP")),
        links[3].url: reply(made()),
    }
    told = await problems(tools, *links)
    assert [(problem.param, problem.code) for problem in told] == [
        ("image[0]", "invalid_image_url"),
        ("image[1]", "invalid_image_url"),
        ("image[2]", "unsupported_image_format"),
    ]
    assert "its host answered 404" in told[0].message
    assert "secret" not in told[1].message


async def test_a_format_may_allow_smaller_files_than_we_do(tools: Tools) -> None:
    """Wherever they are; what our own limit is stays so."""
    cast("Any", tools.objects).contents["req_1-0.png"] = made()
    size = len(made())
    most: list[int] = []
    fetch = web(tools).fetch

    async def asked(url: str, scope: object, *, max_bytes: int, **options: Any) -> Any:
        most.append(max_bytes)
        return await fetch(url, scope, max_bytes=max_bytes, **options)

    web(tools).fetch = asked
    for url in ("https://x.test/a.png", tools.signer.sign("req_1-0.png", NOW_MS + 60_000)):
        web(tools).replies["https://x.test/a.png"] = reply(made())
        exact, small = (ImageLink(url, "image", max_bytes=bytes_) for bytes_ in (size, size - 1))
        assert (await held(tools, exact))[id(exact)].blob.decoded_bytes == size
        (told,) = await problems(tools, small)
        assert told.code == "invalid_image_url"
        assert f"at most {size - 1:,}" in told.message
    await held(tools, ImageLink("https://x.test/a.png", "image", max_bytes=10**12))
    assert most == [size, size - 1, tools.settings.fetched_image_bytes]


async def test_a_link_of_ours_is_opened_from_the_store(tools: Tools) -> None:
    """Without going out and coming in again by our own door."""
    cast("Any", tools.objects).contents["req_1-0.png"] = made()
    link = ImageLink(tools.signer.sign("req_1-0.png", NOW_MS + 60_000), "image")
    got = await held(tools, link)
    assert got[id(link)].blob.decoded_bytes == len(made())
    assert web(tools).asked == []


async def test_a_link_of_ours_to_what_is_gone_is_the_callers_problem(tools: Tools) -> None:
    link = ImageLink(tools.signer.sign("req_1-0.png", NOW_MS + 60_000), "image")
    (told,) = await problems(tools, link)
    assert (told.param, told.code) == ("image", "invalid_image_url")
    assert "no longer stored" in told.message


async def test_an_upload_is_opened_from_the_store_for_its_own_workspace_alone(tools: Tools) -> None:
    contents = cast("Any", tools.objects).contents
    contents[stored_name(WORKSPACE, "folder/a cat.png")] = made()
    contents[stored_name("ws_2", "folder/b.png")] = made()
    own, foreign = ImageLink("oss://folder/a cat.png", "image[0]"), ImageLink("oss://folder/b.png", "image[1]")
    got = await held(tools, own)
    assert got[id(own)].blob.decoded_bytes == len(made())
    (told,) = await problems(tools, own, foreign)
    assert (told.param, told.code) == ("image[1]", "invalid_image_url")
    assert "no such upload" in told.message
    assert web(tools).asked == []


async def test_an_upload_that_has_expired_is_gone_whether_it_was_swept_or_not(tools: Tools) -> None:
    cast("Any", tools.objects).contents[stored_name(WORKSPACE, "folder/a.png")] = made()
    late = replace(tools, clock=cast("Any", Later()))
    (told,) = await problems(late, ImageLink("oss://folder/a.png", "image"))
    assert "has it no longer" in told.message


class Later:
    """When what the shelf has is over."""

    def now_ms(self) -> int:
        return NOW_MS + 1


async def test_an_expired_link_of_ours_is_told_as_such(tools: Tools) -> None:
    """Nobody goes out to be told so by our own door; a link that was changed is a stranger's."""
    link = ImageLink(tools.signer.sign("req_1-0.png", NOW_MS - 60_000), "image")
    (told,) = await problems(tools, link)
    assert (told.param, told.code) == ("image", "invalid_image_url")
    assert "has expired" in told.message
    assert web(tools).asked == []
    changed = ImageLink(link.url.replace("-0.png", "-1.png"), "image")
    web(tools).replies[changed.url] = FetchRefused("image_url_status", "its host answered 403")
    (told,) = await problems(tools, changed)
    assert "403" in told.message


def masked(image: ImageInput, mask: ImageInput, **limits: Any) -> tuple[ImageRequest, Inputs]:
    request = ImageRequest(model="m", prompt="p", images=(image,), mask=mask)
    return request, Inputs(maximum=1, mask=True, **limits)


def test_a_mask_is_looked_at_once_everything_is_here() -> None:
    sent, larger = ImageData(blob_of(made()), "image"), ImageData(blob_of(made(size=(60, 50))), "mask", MaskForm.LIGHT)
    check_mask(*masked(sent, larger))
    check_mask(*masked(ImageLink("https://x.test/a", "image"), larger, mask_like_first=True))
    with pytest.raises(InvalidRequest) as told:
        check_mask(*masked(sent, replace(larger, marks=None), mask_like_first=True))
    assert [(problem.param, problem.code) for problem in told.value.details] == [("mask", "invalid_mask")] * 2


def test_an_image_that_no_seller_takes_is_told_once_it_is_here() -> None:
    """One seller is enough."""
    image = ImageData(blob_of(made()), "image[0]")
    request = ImageRequest(model="m", images=(image,))
    small = Offering(provider="p", upstream_name="u", adapter="a", max_input_bytes=10)
    check_weight(request, (small, Offering(provider="p", upstream_name="u", adapter="a")))
    with pytest.raises(InvalidRequest) as refused:
        check_weight(request, (small, small))
    assert [(each.param, each.code) for each in refused.value.details] == [("image[0]", "image_too_large")]


def test_an_image_that_would_grow_too_large_is_found_once_it_is_here() -> None:
    request = replace(masked(ImageData(blob_of(made()), "image"), LINKED)[0], mask=None, operation=Operation.UPSCALE)
    check_mask(request, Inputs(maximum=1, max_upscaled_pixels=10_000))
    with pytest.raises(InvalidRequest) as told:
        check_mask(request, Inputs(maximum=1, max_upscaled_pixels=9_999))
    assert told.value.code == "image_too_large"


class Inline:
    """Works on the spot."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


@pytest.fixture
def working(tools: Tools) -> Tools:
    return replace(tools, workers=Inline())


LINKED = ImageLink("https://x.test/mask", "mask", MaskForm.ALPHA, MaskForm.LIGHT)


def clear(*, left: bool) -> bytes:
    """A mask by transparency: its left half marks, or nothing does."""
    image, out = Image.new("RGBA", (50, 50), (0, 0, 0, 255)), io.BytesIO()
    if left:
        image.paste((0, 0, 0, 0), (0, 0, 25, 50))
    image.save(out, "PNG")
    return out.getvalue()


async def pixels(image: ImageData) -> Image.Image:
    content = await read_decoded(image.blob, limit_bytes=100_000)
    found = Image.open(io.BytesIO(content))
    found.load()
    return found


@pytest.mark.parametrize("linked", [True, False])
async def test_a_mask_of_another_form_is_turned_wherever_it_came_from(working: Tools, linked: bool) -> None:
    """Side by side with images that stay as they are."""
    web(working).replies[LINKED.url] = reply(clear(left=True))
    sent = ImageData(blob_of(clear(left=True)), "mask", MaskForm.ALPHA, MaskForm.LIGHT)
    mask, image = LINKED if linked else sent, ImageData(blob_of(made()), "image")
    got = await held(working, image, mask)
    assert set(got) == {id(mask)}
    turned = got[id(mask)]
    assert (turned.param, turned.marks, turned.wanted) == ("mask", MaskForm.LIGHT, None)
    assert turned.blob.facts is not None
    assert turned.blob.facts.format == "png"
    seen = await pixels(turned)
    assert [seen.getpixel((x, 10)) for x in (0, 24, 25, 49)] == [255, 255, 0, 0]


async def test_a_mask_of_the_right_form_is_left_alone(tools: Tools) -> None:
    blob = blob_of(clear(left=True))
    for marks, wanted in ((None, None), (MaskForm.LIGHT, None), (MaskForm.ALPHA, MaskForm.ALPHA)):
        assert await held(tools, ImageData(blob, "mask", marks, wanted)) == {}
    kept = await held(tools, replace_link(tools))
    assert [(image.marks, image.wanted) for image in kept.values()] == [(MaskForm.LIGHT, None)]


def replace_link(tools: Tools) -> ImageLink:
    web(tools).replies[LINKED.url] = reply(clear(left=True))
    return replace(LINKED, marks=MaskForm.LIGHT, wanted=None)


async def test_a_mask_that_marks_nothing_is_told_before_anything_is_sent(working: Tools) -> None:
    (told,) = await problems(working, ImageData(blob_of(clear(left=False)), "mask", None, MaskForm.LIGHT))
    assert (told.param, told.code) == ("mask", "invalid_mask")
    assert told.message == "mask cannot be used as a mask: it marks nothing: no pixel is transparent"
