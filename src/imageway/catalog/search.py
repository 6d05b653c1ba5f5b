"""The loaded catalog, and how the name that a caller wrote finds its model: by id, alias, rename, or nearness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from types import MappingProxyType

from imageway.catalog.schema import Model, Provider, Rate
from imageway.catalog.terms import day_of
from imageway.core.requests import RequestWarning

CLOSEST = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A model, and what to tell the caller when the name he used is not what serves him."""

    model: Model
    warning: RequestWarning | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """What prices are worked out from while one rate is in force, `rated` its first day. `usd_per_cny` is exact. Equals
    itself alone."""

    models: Mapping[str, Model]
    usd_per_cny: Fraction
    rated: str


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """Everything the gateway knows about models, validated and frozen. Equals itself alone."""

    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    rates: tuple[Rate, ...]
    _books: tuple[tuple[int, Book], ...] = field(init=False, repr=False)
    _names: Mapping[str, Found] = field(init=False, repr=False)
    _gone: Mapping[str, Model] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = {name: found for model in self.models.values() for name, found in _names_of(model)}
        object.__setattr__(self, "models", MappingProxyType(dict(self.models)))
        object.__setattr__(self, "providers", MappingProxyType(dict(self.providers)))
        object.__setattr__(self, "_names", MappingProxyType(names))
        gone = {old.id: model for model in self.models.values() for old in model.succeeds}
        object.__setattr__(self, "_gone", MappingProxyType(gone))
        books = [(day_of(rate.effective), Book(self.models, Fraction(rate.usd), rate.effective)) for rate in self.rates]
        object.__setattr__(self, "_books", tuple(sorted(books, key=lambda dated: dated[0], reverse=True)))

    def on(self, day: int) -> Book:
        """What prices are worked out from on a day since 1970-01-01: by the rate that became effective last or, as with
        prices, by the earliest where that one is still to come (a task may be older than all of its operator's)."""
        for since, book in self._books:
            if since <= day:
                return book
        return self._books[-1][1]

    def find(self, name: str) -> Found | None:
        """The model of this id, alias or former id; None when nobody bears the name."""
        return self._names.get(name)

    def successor_of(self, name: str) -> Model | None:
        """The model that its vendor put in the place of one that nobody sells any more."""
        return self._gone.get(name)

    def id_of(self, name: str | None) -> str | None:
        """The id of the model that a name means; a name that nobody bears is left as it is."""
        found = self.find(name) if name is not None else None
        return name if found is None else found.model.id

    def closest(self, name: str) -> tuple[str, ...]:
        """At most three known names that look like this one, the likeliest first."""
        spelled = {known.lower(): known for known in self._names}
        return tuple(spelled[near] for near in get_close_matches(name.lower()[:100], spelled, CLOSEST))


def _names_of(model: Model) -> Iterator[tuple[str, Found]]:
    yield model.id, Found(model, _renamed(model.id, model.rename_note) if model.rename_note else None)
    for alias in model.aliases:
        yield alias, Found(model)
    for rename in model.renames:
        yield rename.id, Found(model, _renamed(rename.id, rename.why))


def _renamed(name: str, why: str) -> RequestWarning:
    return RequestWarning("model_renamed", "model", f'"{name}": {why}')
