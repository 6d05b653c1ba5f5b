"""From an intent to a plan, before any money: is the model there and allowed, is every field right, who could serve it,
what may it cost. Everything wrong is found at once."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from imageway.catalog import Checked, Fitted, Quote, check, fit, foreseen, quote
from imageway.catalog.checking import images_of
from imageway.catalog.schema import Model
from imageway.catalog.tariffs import PriceBook
from imageway.catalog.terms import DAY_MS
from imageway.core.access import CATALOG_TERMS, NO_SCOPE, NO_SETTINGS, Terms
from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.intents import Form, Generate
from imageway.core.requests import Caller, ImageData, ImageInput, ImageRequest, RequestWarning, Turn
from imageway.engine.defaults import as_set, form_of, meant
from imageway.engine.inputs import problem_with
from imageway.engine.limits import check_operation, check_price
from imageway.engine.memos import KeptTask
from imageway.engine.notices import webhook_problems
from imageway.engine.ports import Tools
from imageway.engine.verdicts import NO_ROUTE_RETRY_S
from imageway.routing import Candidate, candidates, in_order

FORBIDDEN: Final = 403


class Option(Struct, frozen=True):
    """A candidate with the request as it would be sent there."""

    candidate: Candidate
    fitted: Fitted

    @property
    def max_answer_bytes(self) -> int:
        """Of one call. A preview is as large as an image."""
        return self.candidate.offering.max_answer_bytes * (1 + (self.fitted.request.partial_images or 0))


class Prepared(Struct, frozen=True, kw_only=True):
    """A request that may be accepted. `counts` is how many images each part asks for; `options` is the order of trying;
    `warnings` are those that hold whoever serves it; `priced_ms` is the moment whose prices and rates it is sold by."""

    intent: Generate
    caller: Caller
    model: Model
    request: ImageRequest
    options: tuple[Option, ...]
    counts: tuple[int, ...]
    quote: Quote
    form: Form
    warnings: tuple[RequestWarning, ...]
    priced_ms: int
    terms: Terms = CATALOG_TERMS

    @property
    def images(self) -> int:
        return sum(self.counts)

    @property
    def max_answer_bytes(self) -> int:
        return max([option.max_answer_bytes for option in self.options])


def prepare(tools: Tools, intent: Generate, caller: Caller) -> Prepared:
    """Raises GatewayError (404, 403, 503) or InvalidRequest with every problem."""
    named, renamed = find_model(tools, intent.request.model, caller)
    if caller.scope is not NO_SCOPE:
        check_operation(caller, intent.request.operation, intent.request.named("operation"))
    now_ms = tools.clock.now_ms()
    model, terms = tools.terms.sold(named, caller.workspace_id, now_ms)
    request = intent.request
    if caller.settings is not NO_SETTINGS:
        request = as_set(model, caller.settings, request)
    checked, options = _judged(tools, model, request, _beside(tools, intent))
    warnings = (*intent.warnings, *renamed, *checked.warnings)
    if intent.strict:
        options = _strictly(model, checked, warnings, options)
    ordered = _in_order(tools, options, model, checked.request)
    counts = part_counts(checked.request, min([option.candidate.offering.max_n for option in ordered]))
    dearest = _dearest(tools.catalog.on(now_ms // DAY_MS), model, ordered, sum(counts))
    if caller.scope is not NO_SCOPE:
        check_price(caller, dearest.hold_usd_micros)
    return Prepared(
        intent=intent,
        caller=caller,
        model=model,
        request=checked.request,
        options=ordered,
        counts=counts,
        quote=dearest,
        form=form_of(intent, caller.settings, model),
        warnings=warnings,
        priced_ms=now_ms,
        terms=terms,
    )


def options_again(tools: Tools, model: Model, request: ImageRequest, kept: KeptTask) -> tuple[Option, ...]:
    """Who could serve a request that was accepted before, in the order of trying, as things are now. Raises
    GatewayError 503 when nobody is left."""
    checked = Checked(request, (), ())
    options, _ = _fit_all(model, sellers_of(tools, model), checked)
    if kept.ask is not None and kept.ask.strict:
        options = tuple(option for option in options if not _told(model, request, option))
    if request.group is None:  # which is one call, whatever its size
        options = tuple(option for option in options if option.candidate.offering.max_n >= max(kept.counts))
    if not options:
        message = f'no upstream is configured any more that serves this request to "{model.id}"; nothing was charged'
        raise GatewayError("no_healthy_route", message, retry_after_s=NO_ROUTE_RETRY_S)
    return _in_order(tools, options, model, request)


def too_long(name: str, asked_s: float, most_s: float) -> Problem:
    """What a caller may not wait for that long."""
    message = f'{name} is "{asked_s:g}"; at most {most_s:g} seconds are taken'
    return Problem(name, "invalid_value", message, (f"seconds up to {most_s:g}",))


def _beside(tools: Tools, intent: Generate) -> tuple[Problem, ...]:
    """What is wrong with what the caller wrote beside the request itself."""
    return (*_time_problems(tools, intent), *webhook_problems(tools.transport, intent.webhook))


def _time_problems(tools: Tools, intent: Generate) -> tuple[Problem, ...]:
    if not intent.deadline_s and not intent.wait_s:
        return ()
    settings = tools.settings
    named = (
        ("Imageway-Deadline", intent.deadline_s or 0, settings.longest_deadline_s),
        ("Prefer", intent.wait_s, settings.longest_wait_s),
    )
    return tuple(too_long(name, asked_s, most_s) for name, asked_s, most_s in named if asked_s > most_s)


def with_the_rest(tools: Tools, refused: InvalidRequest, caller: Caller) -> GatewayError:
    """What a dialect found wrong, and what the catalog finds wrong with all that could be read. Spends nothing."""
    if refused.partial is None:
        return refused
    intent = refused.partial
    try:
        model, _ = find_model(tools, intent.request.model, caller)
        check_operation(caller, intent.request.operation, intent.request.named("operation"))
        _judged(tools, model, intent.request, _beside(tools, intent))
    except GatewayError as error:
        if error.kind.status == FORBIDDEN:
            return error
        told = {problem.param for problem in refused.details}
        return InvalidRequest(*refused.details, *(problem for problem in error.details if problem.param not in told))
    return refused


def _judged(
    tools: Tools, model: Model, request: ImageRequest, found: tuple[Problem, ...]
) -> tuple[Checked, tuple[Option, ...]]:
    """Raises GatewayError (404, 503) or InvalidRequest with every problem, those `found` before included."""
    sellers = sellers_of(tools, model)
    checked = check(model, request)
    options, unfit = _fit_all(model, sellers, checked)
    problems = (*found, *checked.problems, *input_problems(model, request), *(() if options else unfit))
    if problems:
        raise InvalidRequest(*problems)
    return checked, options


def find_model(tools: Tools, name: str, caller: Caller) -> tuple[Model, tuple[RequestWarning, ...]]:
    """The model that this caller means and may use."""
    found = tools.catalog.find(meant(caller, name))
    if found is None and (successor := tools.catalog.successor_of(name)):
        raise _retired(name, successor.id)
    if found is None:
        near = tools.catalog.closest(name)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        problem = Problem("model", "model_not_found", f'there is no model "{name}"{hint}', near)
        raise GatewayError("model_not_found", problem.message, param="model", details=(problem,))
    if not allowed(caller, name, found.model):
        message = f'this key may not use the model "{name}", only {", ".join(caller.models)}'
        raise GatewayError("model_not_allowed", message, param="model")
    return found.model, (found.warning,) if found.warning else ()


def allowed(caller: Caller, name: str, model: Model) -> bool:
    if not caller.models:
        return True
    names = (name, model.id, *model.aliases)
    return any(fnmatchcase(name, pattern) for name in names for pattern in caller.models)


def sellers_of(tools: Tools, model: Model) -> tuple[Candidate, ...]:
    """Who sells it here. A retired model is gone from its vendor's own address, but a relay or sandbox may have it."""
    everyone = candidates(model, tools.upstreams)
    if model.lifecycle.state == "retired":
        everyone = tuple(seller for seller in everyone if not _is_vendors_own(tools, seller))
        if not everyone:
            raise _retired(model.id, model.lifecycle.successor)
    if not everyone:
        message = f'no upstream is configured that serves "{model.id}"'
        raise GatewayError("no_healthy_route", message, retry_after_s=NO_ROUTE_RETRY_S)
    return everyone


def _retired(name: str, successor: str) -> GatewayError:
    hint = f"; its successor is {successor}" if successor else ""
    message = f'the model "{name}" was retired by its vendor{hint}'
    problem = Problem("model", "model_retired", message, (successor,) if successor else ())
    return GatewayError("model_retired", message, param="model", details=(problem,))


def _is_vendors_own(tools: Tools, seller: Candidate) -> bool:
    provider = tools.catalog.providers[seller.upstream.provider]
    return not seller.upstream.sandbox and seller.upstream.base_url == provider.base_url


def input_problems(model: Model, request: ImageRequest) -> tuple[Problem, ...]:
    """What is wrong with the images that came with the request; linked ones are looked at when they were fetched."""
    found = [problem_with(image, model.inputs) for image in sent_images(request)]
    return tuple(problem for problem in found if problem) if found else ()


def sent_images(request: ImageRequest) -> tuple[ImageData, ...]:
    return tuple([image for image in all_images(request) if isinstance(image, ImageData)])


def all_images(request: ImageRequest) -> tuple[ImageInput, ...]:
    """Every input image once, in order: of the conversation when there is one, then the mask."""
    images = images_of(request)
    return images if request.mask is None else (*images, request.mask)


def part_counts(request: ImageRequest, max_n: int) -> tuple[int, ...]:
    """How n is shared out: a group is one call, everything else as few calls as the providers' limit allows."""
    if request.group is not None:
        return (request.group.max_images or 1,)
    wanted = request.n or 1
    full, rest = divmod(wanted, max_n)
    return (max_n,) * full + ((rest,) if rest else ())


def _fit_all(
    model: Model, sellers: tuple[Candidate, ...], checked: Checked
) -> tuple[tuple[Option, ...], tuple[Problem, ...]]:
    options = []
    problems: tuple[Problem, ...] = ()
    fits: dict[int, Fitted] = {}  # upstreams share offerings
    for seller in sellers:
        fitted = fits.get(id(seller.offering)) or fit(model, seller.offering, checked.request)
        fits[id(seller.offering)] = fitted
        if fitted.problems:
            problems = problems or fitted.problems
        else:
            options.append(Option(seller, fitted))
    return tuple(options), problems


def _dearest(book: PriceBook, model: Model, options: tuple[Option, ...], images: int) -> Quote:
    """Whoever serves it in the end: a seller that does not take a field may make what costs more."""
    if len(options) == 1:
        fitted = options[0].fitted
        return quote(book, model, fitted.request, fitted.size, images=images)
    distinct = {id(option.fitted): option.fitted for option in options}.values()
    quotes = (quote(book, model, fitted.request, fitted.size, images=images) for fitted in distinct)
    return max(quotes, key=lambda quoted: quoted.hold_usd_micros)


def _strictly(
    model: Model, checked: Checked, warnings: tuple[RequestWarning, ...], options: tuple[Option, ...]
) -> tuple[Option, ...]:
    """Only what is honoured to the letter; where nothing is, every warning becomes a problem."""
    told = [_told(model, checked.request, option) for option in options]
    exact = tuple(option for option, changes in zip(options, told, strict=True) if not changes)
    if warnings or not exact:
        changed = (*warnings, *told[0])
        raise InvalidRequest(*(Problem(w.param, w.code, f"{w.message} (Imageway-Strict is on)") for w in changed))
    return exact


def _told(model: Model, request: ImageRequest, option: Option) -> tuple[RequestWarning, ...]:
    """What this seller would not honour as asked, as far as that is certain."""
    return (*option.fitted.warnings, *foreseen(model, request, option.fitted))


def _in_order(tools: Tools, options: tuple[Option, ...], model: Model, request: ImageRequest) -> tuple[Option, ...]:
    if len(options) == 1:
        return options
    by_candidate = {id(option.candidate): option for option in options}
    order = in_order(
        [option.candidate for option in options],
        tools.health,
        now_s=tools.clock.monotonic_s(),
        uniform=tools.random.uniform,
        changes=lambda candidate: len(_told(model, request, by_candidate[id(candidate)])),
    )
    return tuple(by_candidate[id(candidate)] for candidate in order)


def with_images(request: ImageRequest, held: dict[int, ImageData]) -> ImageRequest:
    """The request with every linked image replaced by what was fetched for it (by identity of the link)."""
    return replace(
        request,
        turns=tuple(_turn_with(turn, held) for turn in request.turns),
        images=tuple(_held(image, held) for image in request.images),
        mask=_held(request.mask, held) if request.mask else None,
    )


def _turn_with(turn: Turn, held: dict[int, ImageData]) -> Turn:
    return replace(turn, parts=tuple(part if isinstance(part, str) else _held(part, held) for part in turn.parts))


def _held(image: ImageInput, held: dict[int, ImageData]) -> ImageInput:
    return held.get(id(image), image)
