"""What was found wrong, or could not be honoured, while one request was read: all of it, up to a limit."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from imageway.core.blobs import Blob, Embed, Tree
from imageway.core.errors import Problem
from imageway.core.requests import RequestWarning

MOST_FINDINGS = 50
QUOTED_CHARS = 60


class Findings:
    """Collects problems and warnings while a body is read; of each kind the first MOST_FINDINGS are kept."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[RequestWarning] = []

    def problem(self, code: str, path: str | None, message: str, accepted: tuple[str, ...] = ()) -> None:
        if len(self.problems) < MOST_FINDINGS:
            self.problems.append(Problem(path, code, message, accepted))

    def wrong(self, path: str, value: Tree, accepted: tuple[str, ...], *, code: str = "invalid_value") -> None:
        """The value at `path` is none of `accepted`."""
        self.problem(code, path, f'{path} is "{quoted(value)}"; accepted: {", ".join(accepted)}', accepted)

    def missing(self, path: str, message: str, *others: str, code: str = "missing_required_parameter") -> None:
        """Nothing stands at `path`, nor at the `others` that would do; silent where one of them was found wrong."""
        wrong = {re.split(r"[.\[]", problem.param)[0] for problem in self.problems if problem.param}
        if not wrong & {path, *others}:
            self.problem(code, path, message)

    def unknown(self, entry: Mapping[str, Tree], known: Collection[str], path: str) -> None:
        """Warns of every key of the object at `path` that is not `known` and not null."""
        for name, value in entry.items():
            if name not in known and value is not None:
                field = f"{path}.{printable(name)}"
                self.ignored(field, "it is not known here")

    def ignored(self, path: str, why: str) -> None:
        self.warn("parameter_ignored", path, f"{path} was not sent: {why}")

    def warn(self, code: str, path: str, message: str) -> None:
        if len(self.warnings) < MOST_FINDINGS:
            self.warnings.append(RequestWarning(code, path, message))
        elif len(self.warnings) == MOST_FINDINGS:
            self.warnings.append(RequestWarning("more_warnings", None, "more of this request was not honoured"))


def quoted(value: Tree) -> str:
    """A value as a message may repeat it: short, printable, and never the content of an image."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return printable(value)
        case int() | float():
            return printable(repr(value) if abs(value) < 1e18 else f"{value:.6e}" if isinstance(value, float) else "∞")
        case list():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
        case Embed(blob=blob) | (Blob() as blob):
            return f"{blob.decoded_bytes} bytes of base64 data"


def printable(text: str) -> str:
    """At most QUOTED_CHARS characters that any terminal and any UTF-8 encoder can take."""
    if len(text) <= QUOTED_CHARS and text.isprintable():
        return text
    short = text if len(text) <= QUOTED_CHARS else text[: QUOTED_CHARS - 1] + "…"
    return "".join(character if character.isprintable() else "�" for character in short)
