"""Every dialect with every family of models: pictures, edits and streams arrive, of the size asked for or the one that
the warning names, in the format asked for, and what the wallet lost is what was booked. What a model cannot do is
refused in the dialect's own words."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from imageway.core.money import format_usd, parse_usd
from imageway.dialects import DIALECTS
from tests.acceptance.tongues import TONGUES, Omixa, Order, Told, Tongue, picture, shelf
from tests.integration.processes import CRASHES, House, Process, clean_environment, wait_for

GENERATORS = {
    "gpt_image": "gpt-image-1-mini",
    "gemini": "gemini-2.5-flash-image",
    "seedream": "doubao-seedream-4-0-250828",
    "qwen": "qwen-image-plus",
    "imagen": "imagen-4.0-fast-generate-001",
}
EDITORS = {**GENERATORS, "qwen": "qwen-image-edit-plus", "imagen": "imagen-3.0-capability-001"}
PIXELS, RATIO = (1536, 1024), (4, 3)
DRAWN = {  # what each model makes of these wishes, by the vendors' own tables
    ("gpt_image", "pixels"): (1536, 1024),
    ("gpt_image", "ratio"): (1536, 1024),
    ("gemini", "pixels"): (1248, 832),
    ("gemini", "ratio"): (1184, 864),
    ("seedream", "pixels"): (1536, 1024),
    ("seedream", "ratio"): (1152, 864),
    ("qwen", "pixels"): (1472, 1104),
    ("qwen", "ratio"): (1472, 1104),
    ("imagen", "pixels"): (1280, 896),
    ("imagen", "ratio"): (1280, 896),
}
PRICES = {  # of one image, in micro-dollars, by the vendors' lists; GPT Image is sold by the token
    "gemini-2.5-flash-image": 39_000,
    "doubao-seedream-4-0-250828": 30_000,
    "qwen-image-plus": 30_000,
    "qwen-image-edit-plus": 30_000,
}
UNFORESEEN = {"size_differs", "partial_result", "format_not_converted"}

tongues = pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.name)
families = pytest.mark.parametrize("family", GENERATORS)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "imageway.toml").write_text(f'fetch_allow = ["{shelf().authority}"]\n')
    made = House(folder / "data", clean_environment(), ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("100")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(scope="module")
def poor(house: House) -> str:
    return house.key_for("poor")


@pytest.fixture(autouse=True)
def well(gateway: Process) -> Iterator[None]:
    """Whatever was asked, the gateway crashed nowhere."""
    yield
    news = gateway.log.read_text()
    assert not [word for word in CRASHES if word in news], news[-4000:]


PNG, MASK = picture(), picture("RGBA")


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def named_sizes(told: Told) -> set[tuple[int, int]]:
    """Every size that a warning says was asked for in place of the one that the caller named."""
    texts = [each["message"].partition(" became ")[2] for each in told.warnings if each["code"] == "size_adjusted"]
    return {(int(width), int(height)) for text in texts for width, height in re.findall(r"(\d+)x(\d+)", text)}


def as_asked(size: tuple[int, int], tongue: Tongue, model: str) -> bool:
    """By exact pixels, or within 3 % of a ratio; one vendor's own 4:3 is 7 % wider than that."""
    if tongue.writes_pixels and not (isinstance(tongue, Omixa) and "gpt-image" not in model):
        return size == PIXELS
    return abs(size[0] / size[1] / (RATIO[0] / RATIO[1]) - 1) < (0.08 if "imagen" in model else 0.03)


def ask(tongue: Tongue, house: House, gateway: Process, order: Order) -> Told:
    """An order that is served; what the wallet lost is what the books, and where it says so the answer, name."""
    before = house.money()
    told = tongue.ask(gateway.url, house.key, order)
    assert told.status == 200, told.whole
    assert told.headers["x-imageway-sandbox"] == "true"
    wait_for(lambda: house.money().held == 0)
    after = house.money()
    (row,) = [row for row in house.usage() if row["request_id"] == told.request_id]
    assert (row["outcome"], row["delivered"]) == ("succeeded", len(told.items))
    price = parse_usd(row["price_usd"])
    assert (before.available - after.available, after.spent - before.spent) == (price, price)
    assert price == PRICES.get(order.model, price) > 0
    if isinstance(tongue, Omixa):
        last = told.whole[-1][1] if order.stream else told.whole
        assert last["usage"]["billed_amount"] == format_usd(price)
    return told


def check(told: Told, tongue: Tongue, order: Order) -> Image.Image:
    """One picture, whole, in the format and of the size that were asked for; or a warning names the size."""
    (content,) = told.pictures()
    image = opened(content)
    assert image.format is not None
    assert image.format.lower() == order.file_format
    assert as_asked(image.size, tongue, order.model) or image.size in named_sizes(told), (image.size, told.warnings)
    return image


@families
@tongues
def test_it_generates(house: House, gateway: Process, tongue: Tongue, family: str) -> None:
    """And says strictly no where it had to adjust."""
    order = Order(model=GENERATORS[family], file_format="jpeg", pixels=PIXELS, ratio=RATIO, tier="1K")
    told = ask(tongue, house, gateway, order)
    image = check(told, tongue, order)
    by_pixels = tongue.writes_pixels and (tongue.name != "omixa" or family == "gpt_image")
    assert image.size == DRAWN[family, "pixels" if by_pixels else "ratio"]
    check_strict(told, tongue, house, gateway, order)


def check_strict(told: Told, tongue: Tongue, house: House, gateway: Process, order: Order) -> None:
    """What was told as an adjustment is refused by whoever wants no adjustments, before it costs anything."""
    foreseen = [each for each in told.warnings if each["code"] not in UNFORESEEN]
    if not foreseen:
        return
    before = house.money()
    refused = tongue.ask(gateway.url, house.key, order, Imageway_Strict="1")
    assert refused.status == (422 if tongue.name == "omixa" else 400), refused.whole
    said = f"{refused.code} {refused.message}"
    assert any(each["param"] in said for each in foreseen), refused.whole
    assert tongue.name.startswith("dashscope") or any(each["code"] in said for each in foreseen), refused.whole
    assert house.money() == before


@families
@tongues
def test_it_edits(house: House, gateway: Process, tongue: Tongue, family: str) -> None:
    order = Order(
        model=EDITORS[family], images=(PNG,), file_format="webp", pixels=PIXELS, ratio=RATIO, tier="1K", prompt="a hat"
    )
    told = ask(tongue, house, gateway, order)
    check(told, tongue, order)
    check_strict(told, tongue, house, gateway, order)


@families
@pytest.mark.parametrize("tongue", [each for each in TONGUES if each.streams], ids=lambda tongue: tongue.name)
def test_it_streams(house: House, gateway: Process, tongue: Tongue, family: str) -> None:
    """Whether or not the provider does."""
    order = Order(
        model=GENERATORS[family], stream=True, file_format="png", pixels=PIXELS, ratio=RATIO, tier="1K", prompt="a sea"
    )
    told = ask(tongue, house, gateway, order)
    assert told.headers["content-type"].startswith("text/event-stream")
    check(told, tongue, order)


MASKS = [
    (tongue, family)
    for tongue in TONGUES
    for family in ("gpt_image", "imagen", "gemini", "seedream")
    if "mask" in tongue.refusals and (tongue.name != "omixa" or family == "gpt_image")  # its page has them there alone
]


def maskers(*families: str) -> pytest.MarkDecorator:
    chosen = [(tongue, family) for tongue, family in MASKS if family in families]
    return pytest.mark.parametrize(("tongue", "family"), chosen, ids=lambda each: getattr(each, "name", each))


@maskers("gpt_image", "imagen")
def test_it_masks(house: House, gateway: Process, tongue: Tongue, family: str) -> None:
    """What the mask keeps is kept, whatever masks look like in the dialect and at the provider."""
    square = (1024, 1024)
    mask = Image.new("RGBA", square, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 512, 1024))
    file = io.BytesIO()
    mask.save(file, "PNG")
    order = Order(
        model=EDITORS[family],
        images=(picture(size=square),),
        mask=file.getvalue(),
        pixels=square,
        ratio=(1, 1),
        prompt="a hat",
    )
    (content,) = ask(tongue, house, gateway, order).pictures()
    drawn = opened(content).convert("RGB")
    assert drawn.size == square
    kept, repainted = (drawn.crop(box).getcolors(1) for box in ((700, 300, 1000, 700), (0, 300, 400, 700)))
    assert kept == [(300 * 400, (40, 90, 200))]
    assert repainted is None


@maskers("gemini", "seedream")
def test_who_takes_no_mask_is_told_of_it(house: House, gateway: Process, tongue: Tongue, family: str) -> None:
    """As an instruction beside one more image, where the vendor documents such edits; and the caller hears of it."""
    order = Order(model=EDITORS[family], images=(PNG,), mask=MASK, pixels=PIXELS, ratio=RATIO, prompt="a hat")
    told = ask(tongue, house, gateway, order)
    assert len(told.pictures()) == 1
    assert "mask_as_instruction" in {each["code"] for each in told.warnings}
    check_strict(told, tongue, house, gateway, order)


# Refusals

REFUSED = {
    "text only": Order(model="qwen-image-plus", images=(PNG,)),
    "count": Order(model="doubao-seedream-4-0-250828", n=11),
    "mask": Order(model="qwen-image-edit-plus", images=(PNG,), mask=MASK),
    "model": Order(model="no-such-model"),
    "money": Order(model="gemini-2.5-flash-image"),
    "key": Order(model="gemini-2.5-flash-image"),
}
SAID = [(tongue, what) for tongue in TONGUES for what in tongue.refusals]


@pytest.mark.parametrize(("tongue", "what"), SAID, ids=[f"{tongue.name}-{what}" for tongue, what in SAID])
def test_it_refuses(house: House, gateway: Process, poor: str, tongue: Tongue, what: str) -> None:
    """With the status and the code that the dialect has for it, and nothing is spent."""
    before, booked = house.money(), len(house.usage())
    key = {"money": poor, "key": "sk-iw-test-nobodys"}.get(what, house.key)
    told = tongue.ask(gateway.url, key, REFUSED[what])
    assert (told.status, told.code) == tongue.refusals[what], told.whole
    assert len(told.message) > 20
    assert (house.money(), len(house.usage())) == (before, booked)


@tongues
def test_strictly_nothing_is_adjusted(house: House, gateway: Process, tongue: Tongue) -> None:
    """In every dialect there is something that a model makes otherwise: told in a warning, or refused before anything
    is held."""
    order = Order(model="gemini-2.5-flash-image", pixels=(1000, 1000), ratio=(16, 9), tier="4K")
    told = ask(tongue, house, gateway, order)
    assert "size_adjusted" in {each["code"] for each in told.warnings}
    check_strict(told, tongue, house, gateway, order)


def test_no_dialect_is_left_out() -> None:
    """A dialect that joins the others joins this matrix too."""
    spoken = {"gemini" if tongue.name == "vertex" else tongue.name for tongue in TONGUES}
    assert {dialect.name for dialect in DIALECTS} <= spoken
    folder = Path(__file__).parents[2] / "src/imageway/catalog/data"
    shipped = {file.stem.removesuffix("_image") for file in folder.glob("*.toml")} - {"providers", "rates"}
    assert shipped == {family.removesuffix("_image") for family in GENERATORS}
