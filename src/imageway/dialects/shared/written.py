"""What the caller of a request wrote, field by field: read by the table, and kept by his own names and words for what
errors and warnings will say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from imageway.catalog.geometry import spelled
from imageway.core.blobs import Tree
from imageway.core.requests import Geometry, ImageRequest
from imageway.core.wording import printable, quoted
from imageway.dialects.shared.findings import NOT_KNOWN, Findings
from imageway.dialects.shared.kinds import BOOLEAN, Kind
from imageway.dialects.shared.table import TOP, Field, Table

MOST_UNKNOWN_FIELDS: Final = 64
DIRECT: Final = frozenset(ImageRequest.__struct_fields__)
UNKEPT: Final = frozenset({"container", "ignored", "silent"})
NAMED: Final = DIRECT | {"tier"}
WORDED: Final = NAMED - {"model", "prompt", "negative_prompt", "mask"}  # what messages repeat


class Written(Struct):
    """What the caller wrote, by target: the value as its kind read it, the path where it stood, and the value itself.
    The kinds in the field table vouch for the types; a test holds them against ImageRequest's annotations."""

    table: Table
    findings: Findings
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    raw: dict[str, Tree] = {}
    extras: dict[str, Tree] = {}
    unknown: int = 0

    def read(self, tree: Mapping[str, Tree]) -> None:
        """Every field of a body, and of the objects in it that hold fields."""
        self._read(tree, TOP, "", self.extras)

    def _read(self, tree: Mapping[str, Tree], place: str, prefix: str, extras: dict[str, Tree]) -> None:
        by_place, values = self.table.by_place, self.values
        for name, value in tree.items():
            if value is None:
                continue
            known = by_place.get((place, name))
            if known is None:
                self._keep_unknown(name, value, place, prefix + printable(name), extras)
            elif (result := known.kind.read(value)) is None:
                self._refuse(known.kind, prefix + name, value)
            elif (target := known.target) in values or target in UNKEPT:
                self._weigh(known, prefix + name, result, value, extras)
            else:
                values[target], self.spelled[target], self.raw[target] = result, prefix + name, value

    def _refuse(self, kind: Kind, path: str, value: Tree) -> None:
        if kind is BOOLEAN and isinstance(value, str):
            message = f"{path} is the text {quoted(value)}; accepted: true or false without quotes"
            self.findings.problem(kind.code(value), path, message, kind.accepted)
        else:
            self.findings.wrong(path, value, kind.accepted, code=kind.code(value))

    def _weigh(self, known: Field, path: str, value: object, raw: Tree, extras: dict[str, Tree]) -> None:
        """What is not simply kept: an object of fields, what is not sent, and what was said before."""
        target = known.target
        if target == "container" and isinstance(raw, dict):
            inner: dict[str, Tree] = {}
            self._read(raw, known.name, f"{path}.", inner)
            if inner:
                extras[known.name] = inner
        elif target == "ignored" and value:
            self.findings.ignored(path, known.why)
        elif target in self.values and self.values[target] != value:
            message = f"{self.spelled[target]} and {path} say different things: send one of them"
            self.findings.problem("conflicting_parameters", path, message)

    def _keep_unknown(self, name: str, value: Tree, place: str, path: str, extras: dict[str, Tree]) -> None:
        if self.table.strict:
            accepted = self.table.names(place)
            message = f"{path} is not a field of this request; accepted: {', '.join(accepted)}"
            self.findings.problem("unknown_parameter", path, message, accepted)
        elif place not in self.table.open_places:
            self.findings.ignored(path, NOT_KNOWN)
        elif self.unknown < MOST_UNKNOWN_FIELDS:
            self.unknown += 1
            extras[name] = value
        else:
            message = f"More than {MOST_UNKNOWN_FIELDS} fields are not known here, {path} among them"
            self.findings.problem("unknown_parameter", path, message)

    def rename(self, target: str, other: str) -> None:
        """What was said of `target` counts as said of the `other`."""
        tables: tuple[dict[str, Any], ...] = (self.values, self.spelled, self.raw)
        for table in tables:
            table[other] = table.pop(target)

    def forget(self, target: str) -> None:
        """What was said of `target` counts for nothing: somebody has told why."""
        del self.values[target], self.spelled[target], self.raw[target]

    def said(self, target: str) -> str:
        return f"{self.spelled[target]} is {quoted(self.raw[target])}"

    def direct(self) -> dict[str, Any]:
        """What goes into an ImageRequest as it was read, by field; and how the caller wrote it all: `spelled` has his
        name for one of our fields where that is not the word that everybody would take."""
        values, spelled, known = self.values.copy(), self.spelled, self.table.spelling
        if indirect := set(values) - DIRECT:  # no synonym is named after a field of a request
            for name in indirect:
                del values[name]
            spelled = dict(spelled)
            for ours, theirs in self.table.synonyms:
                if theirs in spelled:
                    spelled.setdefault(ours, spelled[theirs])
            spelled = {our: name for our, name in spelled.items() if our in NAMED}
        values["extras"] = self.extras
        values["spelled"] = {our: name for our, name in spelled.items() if not our == name == known.get(our)}
        values["written"] = Words(self.values, self.raw)
        values["names"] = self.table.spelling
        return values


@dataclass(slots=True, eq=False)
class Words(Mapping[str, str]):
    """Our field → its value as the caller wrote it, where that is not simply the value. Worked out when somebody asks:
    only errors and warnings do."""

    values_read: Mapping[str, Any]
    raw: Mapping[str, Tree]

    def __getitem__(self, name: str) -> str:
        word = quoted(self.raw[name]) if name in WORDED else ""
        if not word or word == _word(self.values_read[name]):
            raise KeyError(name)
        return word

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.raw if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _word(value: Any) -> str:
    return quoted(spelled(value) if isinstance(value, Geometry) else value)
