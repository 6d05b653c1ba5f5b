"""The task gateway's dialect beside its conversations: two tables of fields, linked images alone, names of models, and
words for states."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from imageway.bodies import blob_of
from imageway.catalog import load
from imageway.core.blobs import Blob, Encoding, Tree
from imageway.core.errors import KINDS, GatewayError, InvalidRequest, Problem
from imageway.core.intents import CancelTask, Generate, Generated, Inbound, Outcome, ShowTask, TaskList, TaskView, Where
from imageway.core.requests import Geometry, ImageLink, ImageRequest, MaskForm, Operation
from imageway.dialects.mountsea import DIALECT, TABLES
from imageway.dialects.mountsea.decode import FILE_BYTES
from imageway.dialects.mountsea.errors import MOST_PROBLEMS, number_of
from imageway.dialects.mountsea.fields import EXTREME, GENERATION, HUB, RATIOS
from imageway.dialects.mountsea.models import MODELS, NAMES, VENDORS, edits, model_of, vendor_of
from imageway.dialects.shared import kinds
from imageway.dialects.shared.table import TOP, Field, Table
from imageway.tasks.states import TASK

DIRECT = {*ImageRequest.__struct_fields__}
HINTS = get_type_hints(ImageRequest)
SAMPLES: dict[str, Tree] = {"integer": 1, "number": 0.5, "boolean": True}
WORKED_OUT = {"links", "action", "tier", "container", "ignored"}  # meanings that are no fields of a request
READ = {
    (field.name, field.target): field
    for table in (GENERATION, HUB)
    for field in table.fields
    if field.target in DIRECT - {"mask", "geometry"}
}
LINK = "https://pictures.example/a.png"
tables = pytest.mark.parametrize("table", [GENERATION, HUB], ids=["generation", "hub"])


def older(**body: Tree) -> Generate:
    intent = DIALECT.decode(Inbound(route="generate", body={"prompt": "a boat", "action": "generate", **body}))
    assert isinstance(intent, Generate)
    return intent


def newer(model: str = "nano-banana", **fields: Tree) -> Generate:
    intent = DIALECT.decode(Inbound(route="hub", body={"model": model, "input": {"prompt": "a boat", **fields}}))
    assert isinstance(intent, Generate)
    return intent


def refused(route: str, body: Tree) -> dict[str | None, str]:
    with pytest.raises(InvalidRequest) as error:
        DIALECT.decode(Inbound(route=route, body=body))
    return {problem.param: problem.code for problem in error.value.details}


def partial(route: str, body: Tree) -> ImageRequest | None:
    with pytest.raises(InvalidRequest) as error:
        DIALECT.decode(Inbound(route=route, body=body))
    return error.value.partial.request if error.value.partial else None


# The field tables


def test_the_fields_of_the_pages_are_there() -> None:
    page = {"prompt", "action", "num_images", "image_urls", "aspect_ratio", "model", "resolution"}
    assert page <= {*GENERATION.names(TOP)}
    assert {*HUB.names(TOP)} == {"model", "input"}
    page = {"prompt", "num_images", "aspect_ratio", "output_format", "safety_tolerance", "seed", "sync_mode"}
    assert page | {"limit_generations", "image_urls"} <= {*HUB.names("input")}


@tables
def test_every_target_is_known_and_no_place_holds_one_name_twice(table: Table) -> None:
    assert {field.target for field in table.fields} <= DIRECT | WORKED_OUT
    spelled = [(place, name) for field in table.fields for place in field.where for name in (field.name, *field.also)]
    assert len(spelled) == len(set(spelled)) == len(table.by_place)
    assert {ours for ours, _ in table.synonyms} <= DIRECT


@pytest.mark.parametrize("field", READ.values(), ids=lambda field: field.name)
def test_what_a_kind_reads_is_what_the_request_holds(field: Field) -> None:
    """Decode hands values over unchecked because of this test."""
    own = "a text" if field.kind is kinds.TEXT else field.kind.accepted[0]
    value = field.kind.read(own if field.kind.type == "string" else SAMPLES[field.kind.type])
    allowed = get_args(HINTS[field.target]) or (HINTS[field.target],)
    assert type(value) in allowed


def test_schemas_are_those_of_the_tables() -> None:
    assert {route.name for route in DIALECT.routes if route.method == "POST"} == TABLES.keys()
    older_one, newer_one, none = DIALECT.schema("generate"), DIALECT.schema("hub"), DIALECT.schema("result")
    assert older_one is not None
    assert newer_one is not None
    assert none is None
    properties: Tree = older_one["properties"]
    assert isinstance(properties, dict)
    ratio, links = properties["aspect_ratio"], properties["image_urls"]
    assert isinstance(ratio, dict)
    assert isinstance(links, dict)
    assert ratio["enum"] == [*RATIOS, *EXTREME]
    assert links["items"] == {"type": "string", "format": "uri"}


# Sizes


@pytest.mark.parametrize("ratio", [*RATIOS, *EXTREME])
def test_every_ratio_of_the_page_is_read(ratio: str) -> None:
    asked = older(model="nano-banana-2", aspect_ratio=ratio)
    assert asked.request.geometry == Geometry(ratio=ratio)
    assert asked.warnings == ()


@pytest.mark.parametrize("ratio", EXTREME)
@pytest.mark.parametrize("model", ["nano-banana-fast", "nano-banana-pro", None])
def test_extreme_ones_are_not_where_the_page_has_none(model: str | None, ratio: str) -> None:
    named: dict[str, Tree] = {"model": model} if model else {}
    body: Tree = {"prompt": "a boat", "action": "generate", "aspect_ratio": ratio, **named}
    assert refused("generate", body) == {"aspect_ratio": "invalid_value"}


@pytest.mark.parametrize("model", ["nano-banana", "nano-banana-pro", "nano-banana-edit", "nano-banana-pro-edit"])
def test_nor_by_the_newer_names(model: str) -> None:
    body: Tree = {"model": model, "input": {"prompt": "a boat", "aspect_ratio": "8:1", "image_urls": [LINK]}}
    assert refused("hub", body) == {"input.aspect_ratio": "invalid_value"}


@pytest.mark.parametrize("tier", ["1K", "2K", "4K"])
def test_a_resolution_is_sent_where_the_page_has_it(tier: str) -> None:
    for model in ("nano-banana-pro", "nano-banana-2"):
        asked = older(model=model, resolution=tier, aspect_ratio="4:5")
        assert (asked.request.geometry, asked.warnings) == (Geometry(ratio="4:5", tier=tier), ())


@pytest.mark.parametrize("tier", ["1K", "2K", "4K"])
@pytest.mark.parametrize("named", [{}, {"model": "nano-banana-fast"}])
def test_elsewhere_it_is_told_and_not_refused(named: dict[str, Tree], tier: str) -> None:
    """Also the one that is made there: the page's own example sends it."""
    asked = older(resolution=tier, **named)
    assert asked.request.geometry is None
    assert [(each.code, each.param) for each in asked.warnings] == [("parameter_ignored", "resolution")]
    assert [each.param for each in newer(resolution=tier).warnings] == ["input.resolution"]


@pytest.mark.parametrize(
    ("size", "geometry"),
    [
        ("1536x1024", Geometry(width=1536, height=1024)),
        ({"width": 1536, "height": 1024}, Geometry(width=1536, height=1024)),
        ("square_hd", Geometry(width=1024, height=1024)),
        ("portrait_16_9", Geometry(width=576, height=1024)),
        ("auto", Geometry(auto=True)),
    ],
)
def test_pixels_are_read_in_every_spelling(size: Tree, geometry: Geometry) -> None:
    assert newer("gpt-image-2", image_size=size).request.geometry == geometry


@pytest.mark.parametrize("size", ["2K", "16:9", {"width": 8}, {}, {"width": True, "height": 8}, [8, 8], 8, ""])
def test_nothing_else_is_pixels(size: Tree) -> None:
    body: Tree = {"model": "gpt-image-2", "input": {"prompt": "a boat", "image_size": size}}
    assert refused("hub", body).keys() == {"input.image_size"}


# Images


def test_a_link_may_lead_to_so_many_bytes() -> None:
    """As the vendor has it, mask included."""
    request = newer("gpt-image-2-edit", image_urls=[LINK, None, "HTTP://b.example"], mask_url=LINK).request
    assert request.images == (
        ImageLink(LINK, "input.image_urls[0]", max_bytes=FILE_BYTES),
        ImageLink("HTTP://b.example", "input.image_urls[2]", max_bytes=FILE_BYTES),
    )
    assert request.mask == ImageLink(LINK, "input.mask_url", MaskForm.LIGHT, max_bytes=FILE_BYTES)
    assert FILE_BYTES == 10 * 2**20


@pytest.mark.parametrize(
    "written",
    [
        *(
            "ftp://pictures.example/a.png",
            "oss://a/b.png",
            "data:image/png;base64,iVBORw0KGgo=",
            "iVBORw0KGgo=",
            "a",
            "",
        ),
        *(7, True, {"url": LINK}, [LINK], "http:/a", "file:///etc/passwd", " http://a.example"),
        blob_of(b"long base64", encoding=Encoding.BINARY),
    ],
)
def test_nothing_but_a_link_is_an_image(written: Tree | Blob) -> None:
    for action in ("edit", "generate"):
        body: Tree = {"prompt": "a hat", "action": action, "image_urls": [LINK, written]}
        assert refused("generate", body) == {"image_urls[1]": "invalid_image_url"}


def test_a_name_that_says_edit_needs_an_image_and_any_other_takes_one() -> None:
    for name in ("nano-banana", "nano-banana-2", "nano-banana-pro", "gpt-image-2"):
        assert newer(name, image_urls=[LINK]).request.operation is Operation.EDIT
        assert newer(f"{name}-edit", image_urls=[LINK]).request.model == newer(name).request.model
        body: Tree = {"model": f"{name}-edit", "input": {"prompt": "a hat"}}
        assert refused("hub", body) == {"input.image_urls": "image_required"}
    assert older(action="edit", image_urls=LINK).request.operation is Operation.EDIT


def test_what_could_be_read_of_a_wrong_request_goes_on_to_be_judged() -> None:
    """With an image where one is needed in any case; what nobody can read is not guessed at."""
    wrong = partial("generate", {"action": "edit", "num_images": 2, "model": "nano-banana-pro"})
    assert wrong is not None
    assert (wrong.model, wrong.operation, wrong.prompt) == ("gemini-3-pro-image", Operation.EDIT, "?")
    assert [image.param for image in wrong.images] == ["image_urls"]
    wrong = partial("hub", {"model": "gpt-image-2", "input": {"seed": "x"}})
    assert wrong is not None
    assert (wrong.operation, wrong.images) == (Operation.GENERATE, ())
    assert partial("hub", {"model": "gpt-image-2", "input": "a boat"}) is None
    assert partial("hub", {"input": {}}) is None


# Models


def test_every_name_is_a_model_of_the_catalog() -> None:
    catalog = load()
    for name, model in MODELS.items():
        found = catalog.find(model)
        assert found is not None, name
        assert (found.model.id, found.warning) == (model, None)


def test_other_names_stay_as_they_are() -> None:
    """Also those of others that end alike."""
    for name in ("qwen-image-edit", "nano-banana-9", "nano-banana-edit-edit", "-edit", "gemini-2.5-flash-image"):
        assert model_of(name) == name
        assert not edits(name)


@pytest.mark.parametrize("name", ["nano-banana-fast", "nano-banana-pro", "gpt-image-2"])
def test_a_workspaces_own_meaning_of_a_name_counts_before_the_pages(name: str) -> None:
    """And so does what that model takes: nothing is said of the page's."""
    body: Tree = {"prompt": "a boat", "action": "generate", "model": name, "resolution": "2K", "aspect_ratio": "8:1"}
    intent = DIALECT.decode(Inbound(route="generate", body=body, family_of={name: "seedream"}.get))
    assert isinstance(intent, Generate)
    assert (intent.request.model, intent.warnings) == (name, ())
    assert intent.request.geometry == Geometry(ratio="8:1", tier="2K")
    edit: Tree = {"model": f"{name}-edit", "input": {"prompt": "a hat", "image_urls": [LINK]}}
    intent = DIALECT.decode(Inbound(route="hub", body=edit, family_of={name: "seedream"}.get))
    assert isinstance(intent, Generate)
    assert intent.request.model == name


def test_every_model_of_the_catalog_is_somebodys() -> None:
    assert [model for model in load().models if not vendor_of(model)] == []
    assert len({beginning for beginning, _ in VENDORS}) == len(VENDORS)
    assert vendor_of("an-operator's-own") == ""


def test_a_task_is_told_by_the_name_that_the_newer_path_has() -> None:
    assert NAMES["gemini-2.5-flash-image"] == "nano-banana"
    assert {MODELS[name] for name in NAMES.values()} == set(NAMES)


# Answers


def test_every_state_of_a_task_has_a_word_of_the_vendors() -> None:
    words = {"pending", "ready", "assigned", "processing", "completed", "failed", "cancelled", "timeout"}
    for shape in ("gemini", "hub"):
        for state in TASK:
            view = TaskView(id="req_7", status=state, model="m", created_s=0, finished_ms=1)
            body = DIALECT.encode(ShowTask("req_7", shape=shape), view).body
            assert isinstance(body, dict)
            assert body["status"] in (words if shape == "gemini" else words - {"ready", "assigned"})


def test_only_what_is_right_has_a_result() -> None:
    for state in TASK:
        view = TaskView(id="req_7", status=state, model="m", created_s=0, finished_ms=1)
        for shape, name in (("gemini", "result"), ("hub", "data")):
            body = DIALECT.encode(ShowTask("req_7", shape=shape), view).body
            assert isinstance(body, dict)
            assert (body[name] is not None) == (state == "succeeded")


@pytest.mark.parametrize("code", KINDS)
def test_an_unknown_model_is_a_value_like_any_other(code: str) -> None:
    """Everything else has the status that it has everywhere, in the envelope and in its number."""
    expected = 400 if code in ("model_not_found", "model_retired") else KINDS[code].status
    answer = DIALECT.encode_error(Where("generate", "req_1"), GatewayError(code, "no"))
    assert answer.status == expected == number_of(code)
    assert isinstance(answer.body, dict)
    assert answer.body["statusCode"] == answer.body["errorCode"] == expected


def test_a_message_has_so_many_lines_and_each_once() -> None:
    problems = [Problem(f"p{n}", "invalid_value", f"problem {n % 30}") for n in range(50)]
    answer = DIALECT.encode_error(Where("hub", "req_1"), InvalidRequest(*problems))
    assert isinstance(answer.body, dict)
    assert answer.body["message"] == answer.body["errorMessage"] == "\n".join(f"problem {n}" for n in range(20))
    assert isinstance(details := answer.body["details"], list)
    assert (MOST_PROBLEMS, len(details)) == (20, 50)


@pytest.mark.parametrize(
    "outcome", [Generated(request_id="r", model="m", family="f", created_s=0, pictures=()), TaskList(tasks=(), total=0)]
)
def test_what_nobody_asked_for_here_is_a_mistake(outcome: Outcome) -> None:
    with pytest.raises(TypeError):
        DIALECT.encode(CancelTask("req_7"), outcome)


def test_only_a_bearer_key_is_a_key() -> None:
    assert DIALECT.credential({"authorization": "Bearer sk-1"}, {}) == "sk-1"
    for headers in ({"authorization": "Basic QQ=="}, {"x-api-key": "sk-1"}, {}):
        assert DIALECT.credential(headers, {"key": "sk-1"}) is None
