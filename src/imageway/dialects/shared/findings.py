"""What was found wrong, or could not be honoured, while one request was read: all of it, up to a limit."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from msgspec import Struct

from imageway.core.blobs import Tree
from imageway.core.errors import Problem
from imageway.core.requests import RequestWarning
from imageway.core.wording import printable, quoted

MOST_FINDINGS = 50
NOT_KNOWN = "it is not known here"


class Findings(Struct):
    """Collects problems and warnings while a body is read; of each kind the first MOST_FINDINGS are kept."""

    problems: list[Problem] = []
    warnings: list[RequestWarning] = []

    def problem(self, code: str, path: str | None, message: str, accepted: tuple[str, ...] = ()) -> None:
        if len(self.problems) < MOST_FINDINGS:
            self.problems.append(Problem(path, code, message, accepted))

    def wrong(self, path: str, value: Tree, accepted: tuple[str, ...], *, code: str = "invalid_value") -> None:
        """The value at `path` is none of `accepted`."""
        self.problem(code, path, f"{path} is {quoted(value)}; accepted: {', '.join(accepted)}", accepted)

    def missing(self, path: str, message: str, *others: str, code: str = "missing_required_parameter") -> None:
        """Nothing stands at `path`, nor at the `others` that would do; silent where one of them was found wrong."""
        if not self.places() & {path, *others}:
            self.problem(code, path, message)

    def places(self) -> set[str]:
        """The top-level fields in which something was found wrong."""
        return {re.split(r"[.\[]", problem.param)[0] for problem in self.problems if problem.param}

    def unknown(self, entry: Mapping[str, Tree], known: Collection[str], path: str) -> None:
        """Warns of every key of the object at `path` that is not `known` and not null."""
        for name, value in entry.items():
            if name not in known and value is not None:
                self.ignored(f"{path}.{printable(name)}", NOT_KNOWN)

    def ignored(self, path: str, why: str) -> None:
        self.warn("parameter_ignored", path, f"{path} was not sent: {why}")

    def warn(self, code: str, path: str, message: str) -> None:
        if len(self.warnings) < MOST_FINDINGS:
            self.warnings.append(RequestWarning(code, path, message))
        elif len(self.warnings) == MOST_FINDINGS:
            self.warnings.append(RequestWarning("more_warnings", None, "more of this request was not honoured"))
