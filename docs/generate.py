"""The parts of these documents that are read off tables in the code: fields, models, providers, states, faults,
commands, errors, paths of the admin API, steps of the tables; and the list of decisions, which is read off the records.

    .venv/bin/python docs/generate.py            write them
    .venv/bin/python docs/generate.py --check    say which are behind, change nothing

A part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; everything else is written by hand."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Final

from imageway.catalog import Catalog, load
from imageway.catalog.fitting import accepted_sizes
from imageway.catalog.parameters import accepted_values
from imageway.catalog.schema import Geometry, Inputs, Model, Parameter, Price
from imageway.cli.main import app
from imageway.dialects import DIALECTS
from imageway.dialects.ark import errors as ark_errors
from imageway.dialects.dashscope import errors as dashscope_errors
from imageway.dialects.openai_images.fields import FIELDS
from imageway.dialects.shared.table import TOP, Field
from imageway.sandbox.faults import FAULTS
from imageway.server.admin.all import ENDPOINTS
from imageway.server.openapi import openapi
from imageway.storage.migrations import versions
from imageway.tasks.states import PART, TASK

HERE: Final = Path(__file__).parent
KINDS_OF_TOKENS: Final = {
    "input_text": "text tokens in",
    "input_image": "image tokens in",
    "output_text": "text tokens out",
    "output_image": "image tokens out",
}


# Tables in Markdown


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    return f"`{text}`"


def listed(words: Iterable[str]) -> str:
    return ", ".join(map(code, words))


def size_of(size_bytes: int) -> str:
    return f"{size_bytes // 2**20} MiB" if size_bytes % 2**20 == 0 else f"{size_bytes:,} bytes"


# States


def states(table_of: Mapping[str, Iterable[str]]) -> str:
    """A state diagram. The first state of the table is where everything begins."""
    order = list(table_of)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {order[0]}"]
    for state, following in table_of.items():
        after = sorted(following, key=order.index) or ["[*]"]
        lines += [f"    {state} --> {name}" for name in after]
    return "\n".join([*lines, "```"])


# Fields of the unified endpoint


def field_table() -> str:
    return table(
        ("field", "where", "type", "accepted", "meaning"),
        [(code(field.name), _places(field), field.kind.type, _accepted(field), _meaning(field)) for field in FIELDS],
    )


def _places(field: Field) -> str:
    return ", ".join("top level" if place == TOP else code(place) for place in field.where)


def _accepted(field: Field) -> str:
    return ", ".join(field.kind.accepted)


def _meaning(field: Field) -> str:
    known = " No model here takes it: it is reported." if field.target == "ignored" else ""
    return field.description + known


def fields_of(name: str) -> tuple[Field, ...]:
    """The fields that set a parameter of a model."""
    return tuple(field for field in FIELDS if field.target == name)


def spelled(name: str) -> str:
    """A model's parameter by the names callers write for it."""
    names = [field.name if TOP in field.where else f"{field.where[0]}.{field.name}" for field in fields_of(name)]
    return listed(names) if names else f"{code(name)} (no field of this endpoint sets it)"


# Models


def models_page(catalog: Catalog) -> str:
    families = dict.fromkeys(model.family for model in catalog.models.values())
    sections = [_overview(catalog)]
    for family in families:
        sections.append(f"## Family `{family}`")
        sections += ["\n\n".join(_model(model)) for model in catalog.models.values() if model.family == family]
    return "\n\n".join(sections)


def _overview(catalog: Catalog) -> str:
    return table(
        ("model", "title", "state", "operations", "default size", "answers", "prices from"),
        [
            (
                f"[{code(model.id)}](#{_anchor(model.id)})",
                model.title,
                model.lifecycle.state,
                ", ".join(model.operations),
                code(model.geometry.default) if model.geometry.default else "none",
                code(model.form),
                _first_price(model),
            )
            for model in catalog.models.values()
        ],
    )


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w-]", "", heading.lower())


def _first_price(model: Model) -> str:
    sold = [price for price in model.prices if not price.shown_only]
    images = [price for price in sold if price.per == "image"] or [p for p in sold if p.tokens == "output_image"]
    return _amount(images[0]) if images else ""


def _amount(price: Price) -> str:
    per = "million " + KINDS_OF_TOKENS[price.tokens] if price.tokens else price.per.replace("_", " ")
    return f"{price.amount} {price.currency} per {per}"


def _model(model: Model) -> Iterator[str]:
    yield f"### `{model.id}`"
    yield _introduction(model)
    yield table(("", ""), _facts(model))
    if model.geometry.kind == "ratios":
        yield _pixels(model)
    if model.parameters or model.negative_prompt_max_chars:
        columns = ("parameter", "accepted", "default", "remarks")
        yield table(columns, [_parameter(name, row) for name, row in model.parameters.items()])
    yield table(("price", "when", "source", "checked"), _prices(model.prices))


def _introduction(model: Model) -> str:
    life = model.lifecycle
    state = {"live": "Live", "preview": "Preview", "retiring": "Retiring", "retired": "Retired"}[life.state]
    sentences = [f"{model.title}. {state}{f', released {life.released}' if life.released else ''}."]
    if life.shutdown:
        sentences.append(f"Its vendor's date for switching it off: {life.shutdown}.")
    if life.successor:
        sentences.append(f"Successor: {code(life.successor)}.")
    if model.rename_note:
        sentences.append(f"Answers carry the warning `model_renamed`: {model.rename_note}.")
    if model.aliases:
        sentences.append(f"Also called {listed(model.aliases)}.")
    sentences += [f"The name {code(one.id)} is served with a warning: {one.why}." for one in model.renames]
    return " ".join(sentences)


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    geometry = model.geometry
    yield "operations", ", ".join(model.operations)
    yield "input images", _inputs(model.inputs)
    yield "sizes", ", ".join(_sizes(geometry))
    for tier, sizes in geometry.size_tiers.items():
        yield f"sizes of {tier}", ", ".join(sizes)
    default = code(geometry.default) if geometry.default else "none is sent"
    edit = f"; with input images {code(geometry.default_edit)}" if geometry.default_edit else ""
    yield "default size", default + edit
    yield "prompt", _prompt(model)
    yield "conversations", "yes" if model.turns else "no: they are flattened, with a warning"
    if model.text_out:
        yield "text beside the image", "yes"
    if model.group_max_images:
        yield "groups", f"up to {model.group_max_images} images"
    if model.context_window:
        yield "context window, largest output", f"{model.context_window:,} and {model.max_output or 0:,} tokens"
    yield "answers", f"{code(model.form)} when nothing is asked for; comes as {', '.join(model.output_formats)}"
    yield "minimum hold", f"{model.minimum_hold} USD"
    yield "served by", ", ".join(_sellers(model))
    yield "source", f"{model.source} ({model.checked}); sizes: {geometry.source} ({geometry.checked})"


def _sizes(geometry: Geometry) -> tuple[str, ...]:
    """Where any pixels within limits will do, the forms that stand for all ratios and tiers are said in words."""
    accepted = accepted_sizes(geometry)
    return (*accepted, "any ratio or tier, as the nearest of these") if geometry.kind == "free" else accepted


def _inputs(inputs: Inputs) -> str:
    if not inputs.maximum:
        return "none"
    count = f"{inputs.minimum} to {inputs.maximum}" if inputs.minimum else f"up to {inputs.maximum}"
    words = [f"{count}: {', '.join(inputs.formats)}", f"at most {size_of(inputs.max_bytes)} each"]
    words.append(f"at most {inputs.max_pixels:,} pixels each")
    if inputs.total_with_outputs:
        words.append(f"inputs and outputs of a group together at most {inputs.total_with_outputs}")
    if inputs.max_upscaled_pixels:
        words.append(f"enlarged to at most {inputs.max_upscaled_pixels:,} pixels")
    return "; ".join(filter(None, (*words, _mask(inputs))))


def _mask(inputs: Inputs) -> str:
    if inputs.mask_instruction:
        return "a mask as one more image, and as an instruction"
    if not inputs.mask:
        return ""
    words = [f"in {', '.join(inputs.mask_formats)}"] if inputs.mask_formats else []
    if inputs.mask_like_first:
        words.append("as large as the first image")
    return " ".join(("a mask", ", ".join(words))).strip()


def _prompt(model: Model) -> str:
    words = [f"at most {model.prompt_max_chars:,} characters"]
    if model.prompt_advice_words:
        words.append(f"advice: at most {model.prompt_advice_words:,} words")
    if model.prompt_advice_chars:
        script = " of Chinese, Japanese or Korean" if model.prompt_advice_words else ""
        words.append(f"advice: at most {model.prompt_advice_chars:,} characters{script}")
    return "; ".join(words)


def _sellers(model: Model) -> Iterator[str]:
    for offering in model.offerings:
        images = f"{offering.max_n} images" if offering.max_n > 1 else "1 image"
        yield f"{code(offering.provider)} as {code(offering.upstream_name)}, {images} a call"


def _pixels(model: Model) -> str:
    geometry = model.geometry
    return table(
        ("ratio", *geometry.tiers),
        [(ratio, *(geometry.pixels[tier].get(ratio, "") for tier in geometry.tiers)) for ratio in geometry.ratios],
    )


def _parameter(name: str, row: Parameter) -> tuple[str, str, str, str]:
    return spelled(name), ", ".join(_values(name, row)), code(row.default) if row.default else "", _remarks(row)


def _values(name: str, row: Parameter) -> tuple[str, ...]:
    """What a row accepts; where it only names a type, how callers spell that."""
    bare = not (row.values or row.tiers or row.minimum is not None or row.maximum is not None)
    fields = fields_of(name)
    return fields[0].kind.accepted if bare and fields else accepted_values(row)


def _remarks(row: Parameter) -> str:
    remarks = [f"{old} is sent as {new}" for old, new in row.replace.items()]
    remarks += [f"{word} is not sent" for word in row.omit]
    remarks += [f"{word} asks for the tier {tier}" for word, tier in row.tiers.items()]
    remarks += [f"goes only with {other} {word}" for other, word in row.needs.items()]
    if row.max_chars:
        remarks.append(f"at most {row.max_chars:,} characters")
    if not row.refuse_other:
        remarks.append("other values are reported, not refused")
    if row.ignored:
        remarks.append("sent; the provider does nothing with it")
    if row.unit:
        remarks.append(f"in {row.unit}")
    if row.note:
        remarks.append(row.note[:1].lower() + row.note[1:].rstrip("."))
    return "; ".join(remarks)


def _prices(prices: Sequence[Price]) -> Iterator[tuple[str, str, str, str]]:
    """The first row that applies counts, so an unconditional one behind others of its kind is for the rest."""
    seen: set[tuple[str, str | None]] = set()
    for price in prices:
        kind = (price.per, price.tokens)
        yield _price(price, otherwise="otherwise" if kind in seen else "always")
        seen.add(kind)


def _price(price: Price, *, otherwise: str) -> tuple[str, str, str, str]:
    when = [*price.qualities, *price.tiers, *price.sizes]
    if price.max_pixels:
        when.append(f"up to {price.max_pixels:,} pixels")
    if price.free_first:
        when.append(f"the first {price.free_first} free")
    if price.shown_only:
        when.append("shown, not billed")
    assumed = " (assumed)" if price.assumed else ""
    return _amount(price) + assumed, ", ".join(when) or otherwise, price.source, price.checked


# Providers and faults


def provider_table(catalog: Catalog) -> str:
    columns = ("provider", "credential", "base URL from", "base URL otherwise", "scheme", "sandbox prefix")
    return table(
        columns,
        [
            (code(one.id), code(one.key_env), code(one.base_url_env), one.base_url, one.auth, code(one.sandbox))
            for one in catalog.providers.values()
        ],
    )


def fault_table() -> str:
    return table(("fault", "what happens"), [(code(name), what) for name, what in FAULTS.items()])


# Commands


def command_table() -> str:
    """In the order of their sections, with what `--help` says of each."""
    named = re.findall(r"^## imageway (.+)$", (HERE / "commands.md").read_text(), re.MULTILINE)
    return table(("command", "what it does"), [_command(name) for name in named])


def _command(name: str) -> tuple[str, str]:
    found = reduce(lambda group, word: group[word], name.split(), app)
    summary = " ".join(found.help.partition("\n\n")[0].split()).removesuffix(".")
    return f"[{code(f'imageway {name}')}](#imageway-{name.replace(' ', '-')})", summary


# The admin API


def admin_table() -> str:
    return table(
        ("request", "what it does"),
        [(code(f"{one.method} /admin/v1/{one.path}"), one.summary.removesuffix(".")) for one in ENDPOINTS],
    )


# Errors in the words of a format

IN_WORDS: Final = {
    dashscope_errors.ASYNC_ONLY: "a path of tasks without its header",
    dashscope_errors.NOT_RESOLVED: "an `oss://` name without its header",
}


def error_table(codes: Mapping[str, tuple[int, str]], otherwise: tuple[int, str]) -> str:
    """By status; in the order of the format's own table."""
    ours: dict[tuple[int, str], list[str]] = {}
    for code_of_ours, theirs in codes.items():
        ours.setdefault(theirs, []).append(IN_WORDS.get(code_of_ours) or code(code_of_ours))
    ours.setdefault(otherwise, []).append("whatever else is wrong with a request")
    rows = sorted(ours.items(), key=lambda row: row[0][0])
    return table(("status", "code", "ours"), [(str(status), code(name), ", ".join(of)) for (status, name), of in rows])


# Steps of the tables


def step_table() -> str:
    modules = sorted(Path(versions.__file__).parent.glob("v*.py"))
    told = [(path.stem[1:5], ast.get_docstring(ast.parse(path.read_text())) or "") for path in modules]
    return table(("step", "what it brings"), [(number, " ".join(text.split())) for number, text in told])


# Decisions


def decision_table() -> str:
    return table(("record", "state"), [_decision(path) for path in sorted((HERE / "decisions").glob("0*.md"))])


def _decision(path: Path) -> tuple[str, str]:
    number, _, title = path.read_text().partition("\n")[0].removeprefix("# ").partition(" ")
    told = re.search(r"^Superseded by .*?\.$", path.read_text(), re.MULTILINE | re.DOTALL)
    state = " ".join(told[0].split()).removesuffix(".") if told else "stands"
    return f"[{number} {title}]({path.name})", state[:1].lower() + state[1:]


# Writing


PARTS: Final[dict[str, Callable[[], str]]] = {
    "task states": lambda: states(TASK),
    "part states": lambda: states(PART),
    "fields": field_table,
    "models": lambda: models_page(load()),
    "providers": lambda: provider_table(load()),
    "faults": fault_table,
    "errors of ark": lambda: error_table(ark_errors.CODES, ark_errors.OTHERWISE),
    "errors of dashscope": lambda: error_table(dashscope_errors.CODES, dashscope_errors.INVALID),
    "commands": command_table,
    "admin paths": admin_table,
    "steps": step_table,
    "decisions": decision_table,
}
_MARKED: Final = re.compile(r"(<!-- generated: (?P<name>[a-z ]+) -->\n).*?(\n<!-- end of (?P=name) -->)", re.DOTALL)


def renewed(text: str) -> str:
    """A document with every generated part as the tables give it now."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]()}\n{found[3]}", text)


def behind() -> dict[Path, str]:
    """The documents that are not up to date, with what they should say."""
    pages = {path: path.read_text() for path in sorted(HERE.rglob("*.md"))}
    stale = {path: renewed(text) for path, text in pages.items() if renewed(text) != text}
    document = HERE / "openapi.json"
    text = openapi_text()
    return stale | ({document: text} if not document.exists() or document.read_text() != text else {})


def openapi_text() -> str:
    """What `GET /openapi.json` answers, for reading and for diffs."""
    return json.dumps(openapi(DIALECTS, tuple(load().models)), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    stale = behind()
    check = "--check" in sys.argv[1:]
    for path, text in stale.items():
        print(f"{path.name} is behind" if check else f"{path.name} is written anew")
        if not check:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
