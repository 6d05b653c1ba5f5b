"""What the caller of a request wrote, field by field: read by the table, and kept by his own names and words for what
errors and warnings will say."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final

from imageway.catalog.geometry import spelled
from imageway.core.blobs import Tree
from imageway.core.requests import Geometry, ImageRequest
from imageway.core.wording import printable, quoted
from imageway.dialects.openai_images.fields import BY_PLACE, TOP, Field
from imageway.dialects.openai_images.findings import Findings
from imageway.dialects.openai_images.kinds import BOOLEAN, Kind

MOST_UNKNOWN_FIELDS: Final = 64
DIRECT: Final = frozenset(each.name for each in fields(ImageRequest))
NAMED: Final = DIRECT | {"tier"}
WORDED: Final = NAMED - {"model", "prompt", "negative_prompt", "mask"}  # what messages repeat

# Fields that decode works out of others: named after the first of these that the caller wrote.
SYNONYMS: Final = (
    ("group", "grouped"),
    ("prompt", "contents"),
    ("turns", "contents"),
    ("images", "images_top"),
    ("images", "images_listed"),
    ("images", "contents"),
)


@dataclass(slots=True)
class Written:
    """What the caller wrote, by target: the value as its kind read it, the path where it stood, and the value itself.
    The kinds in the field table vouch for the types; a test holds them against ImageRequest's annotations."""

    findings: Findings
    values: dict[str, Any] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    raw: dict[str, Tree] = field(default_factory=dict)
    extras: dict[str, Tree] = field(default_factory=dict)

    def read(self, tree: dict[str, Tree], place: str = TOP, prefix: str = "") -> None:
        """Every field of one object, and of the objects in it that hold fields."""
        for name, value in tree.items():
            path = prefix + printable(name)
            known = BY_PLACE.get((place, name))
            if value is None:
                continue
            if known is None:
                self._keep_unknown(name, value, place, path)
            elif (result := known.kind.read(value)) is None:
                self._refuse(known.kind, path, value)
            elif known.target == "container" and isinstance(value, dict):
                self.read(value, name, f"{path}.")
            else:
                self._keep(known, path, result, value)

    def _refuse(self, kind: Kind, path: str, value: Tree) -> None:
        if kind is BOOLEAN and isinstance(value, str):
            message = f"{path} is the text {quoted(value)}; accepted: true or false without quotes"
            self.findings.problem(kind.code(value), path, message, kind.accepted)
        else:
            self.findings.wrong(path, value, kind.accepted, code=kind.code(value))

    def _keep(self, known: Field, path: str, value: object, raw: Tree) -> None:
        if known.target == "unserved":
            if value:
                self.findings.ignored(path, "no model is offered with it here")
        elif known.target in self.values and self.values[known.target] != value:
            other = self.spelled[known.target]
            message = f"{other} and {path} say different things: send one of them"
            self.findings.problem("conflicting_parameters", path, message)
        elif known.target not in self.values:
            self.values[known.target], self.spelled[known.target], self.raw[known.target] = value, path, raw

    def _keep_unknown(self, name: str, value: Tree, place: str, path: str) -> None:
        if place != TOP:
            self.findings.ignored(path, "it is not known here")
        elif len(self.extras) < MOST_UNKNOWN_FIELDS:
            self.extras[name] = value
        else:
            message = f"More than {MOST_UNKNOWN_FIELDS} fields are not known here, {path} among them"
            self.findings.problem("unknown_parameter", path, message)

    def rename(self, target: str, other: str) -> None:
        """What was said of `target` counts as said of the `other`."""
        tables: tuple[dict[str, Any], ...] = (self.values, self.spelled, self.raw)
        for table in tables:
            table[other] = table.pop(target)

    def said(self, target: str) -> str:
        return f"{self.spelled[target]} is {quoted(self.raw[target])}"

    def names(self) -> dict[str, str]:
        """Our field → the caller's name for it, where the two differ."""
        spelled = dict(self.spelled)
        for ours, theirs in SYNONYMS:
            if theirs in spelled:
                spelled.setdefault(ours, spelled[theirs])
        return {ours: theirs for ours, theirs in spelled.items() if ours in NAMED and ours != theirs}

    def words(self) -> dict[str, str]:
        """Our field → its value as the caller wrote it, where that is not simply the value."""
        words = {name: quoted(value) for name, value in self.raw.items() if name in WORDED}
        return {name: word for name, word in words.items() if word != _word(self.values[name])}


def _word(value: Any) -> str:
    return quoted(spelled(value) if isinstance(value, Geometry) else value)
