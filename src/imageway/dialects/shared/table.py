"""Field tables: which fields the callers of a dialect may write, where, of what kind, and what each means to us. Type
checks, unknown fields, error texts and documents all come from one such table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from imageway.core.blobs import Tree
from imageway.dialects.shared.kinds import Kind

TOP: Final = ""


@dataclass(frozen=True, slots=True)
class Field:
    """`target` is a field of core's ImageRequest, or a meaning that decode works out together with others. Three
    are the same everywhere: `container` holds other fields of its table, `ignored` is reported and never sent,
    `silent` says nothing that could be lost. `where` names the objects it is read in, "" for the top level; an object
    within an object goes by its own name alone. `also` are other spellings of its name. `why` is told of what is
    ignored."""

    name: str
    target: str
    kind: Kind
    description: str
    where: tuple[str, ...] = (TOP,)
    also: tuple[str, ...] = ()
    why: str = "no model is offered with it here"


@dataclass(frozen=True, slots=True)
class Table:
    """The fields of one kind of body. `strict`: fields that are not in it are refused; else those at the top level, and
    in the objects of `open_places`, are extras (see core's ImageRequest), others are reported. `synonyms`: fields of
    ImageRequest that decode works out of others, each with a target it is named after in messages; `within`: those that
    stand somewhere within another field, each with its path. `snake`: names in camelCase may also be written in
    snake_case. `spelling`: every target, synonym and field within → the path of the first field that says it."""

    fields: tuple[Field, ...]
    strict: bool = False
    open_places: tuple[str, ...] = (TOP,)
    synonyms: tuple[tuple[str, str], ...] = ()
    within: tuple[tuple[str, str], ...] = ()
    snake: bool = False
    by_place: Mapping[tuple[str, str], Field] = field(init=False)
    spelling: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        by_place = {(place, name): each for each in self.fields for place in each.where for name in self._names(each)}
        spelling = {each.target: self._path(each) for each in reversed(self.fields)}
        spelling |= {ours: spelling[theirs] for ours, theirs in reversed(self.synonyms) if ours not in spelling}
        spelling |= self.within
        object.__setattr__(self, "by_place", by_place)
        object.__setattr__(self, "spelling", spelling)

    def _names(self, each: Field) -> tuple[str, ...]:
        return (each.name, *each.also, *((snaked(each.name),) if self.snake else ()))

    def _path(self, each: Field) -> str:
        """From the top, through every object on the way."""
        place = each.where[0]
        holder = next((other for other in self.fields if other.name == place and other.target == "container"), None)
        return f"{self._path(holder)}.{each.name}" if holder else each.name

    def names(self, place: str) -> tuple[str, ...]:
        """What may be written in the object at `place`, each field by its first name."""
        return tuple(each.name for each in self.fields if place in each.where)

    def schema(self, place: str = TOP) -> dict[str, Tree]:
        """The JSON Schema (2020-12) of the object at `place`. Required fields are the reader's business."""
        properties: dict[str, Tree] = {}
        for each in self.fields:
            if place in each.where:
                inner = self.schema(each.name) if each.target == "container" else each.kind.schema()
                properties[each.name] = {**inner, "description": each.description}
        return {"type": "object", "properties": properties, "additionalProperties": not self.strict}


def snaked(name: str) -> str:
    """`imageConfig` → "image_config"."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"_{found[1].lower()}", name)
