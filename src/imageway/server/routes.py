"""Which dialect a request belongs to: by its path, its method and, where two share these, by what carries its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from imageway.core.errors import GatewayError
from imageway.core.intents import Dialect, Route

_NAMED: Final = re.compile(r"\{[^}]*\}")
_TOLD_PATH_CHARS: Final = 200


class Head(Struct, frozen=True):
    """Header names are lower case; query values are the last of each name. `target` is path and query as they were
    sent, `peer` the address of the connection's other end; empty: nobody knows."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    target: str = ""
    peer: str = ""


class Match(Struct, frozen=True):
    dialect: Dialect
    route: Route
    params: Mapping[str, str]


def served_as(method: str) -> str:
    """HEAD is answered as GET is; the connection leaves the body out (RFC 9110, section 9.3.2)."""
    return "GET" if method == "HEAD" else method


class MethodNotAllowed(GatewayError):
    """The path is somebody's, the method is not. `methods` are those that are; HEAD goes without saying."""

    def __init__(self, method: str, path: str, methods: tuple[str, ...]) -> None:
        methods = tuple(sorted({*methods, "HEAD"})) if "GET" in methods else methods
        super().__init__("method_not_allowed", f'"{method}" is not for {path}; use {", ".join(methods)}')
        self.methods = methods


class RouteTable:
    """Paths to dialects. Two routes that claim one (method, path, carrier) are a mistake that shows at start."""

    def __init__(self, dialects: tuple[Dialect, ...]) -> None:
        self._exact: dict[str, list[Match]] = {}
        self._patterns: list[tuple[tuple[str, ...], Match]] = []
        self._claims: set[tuple[str, str, str]] = set()
        self._prefixes = sorted(
            ((prefix, dialect) for dialect in dialects for prefix in dialect.prefixes),
            key=lambda entry: len(entry[0]),
            reverse=True,
        )
        self._first = dialects[0]
        for dialect in dialects:
            for route in dialect.routes:
                self._add(dialect, route)

    def _add(self, dialect: Dialect, route: Route) -> None:
        path = _NAMED.sub("{}", route.path)  # whatever a segment is called, it matches the same
        for carrier in route.carriers or ("",):
            claim = (route.method, path, carrier)
            if claim in self._claims:
                raise ValueError(f'"{dialect.name}" and another dialect both claim {route.method} {route.path}')
            self._claims.add(claim)
        match = Match(dialect, route, {})
        if "{" in route.path:
            self._patterns.append((tuple(route.path.split("/")), match))
        else:
            self._exact.setdefault(route.path, []).append(match)

    def find(self, head: Head) -> Match:
        """Raises GatewayError 404, 400, or MethodNotAllowed."""
        if "%00" in head.target and any("\0" in value for value in head.query.values()):
            raise GatewayError("invalid_value", "the query holds %00: nothing here has such a name or value")
        matches = self._exact.get(head.path) or self._matching(head.path)
        if len(matches) == 1 and not matches[0].route.carriers and matches[0].route.method == head.method:
            return matches[0]
        carried, method = _carried(head, matches), served_as(head.method)
        for match in carried:
            if match.route.method == method:
                return match
        told, named = head.path[:_TOLD_PATH_CHARS], [match for match in carried if not _takes_a_verb(match)]
        if named:
            raise MethodNotAllowed(head.method, told, tuple(sorted({match.route.method for match in named})))
        raise GatewayError("not_found", f'there is nothing at "{told}"')

    def speaker(self, head: Head) -> Dialect:
        """In whose envelope a request is refused that nobody serves: whose path it is, or lies below where his carriers
        count, else whose it begins like."""
        above = (matches for path, matches in self._exact.items() if head.path.startswith(f"{path}/"))
        guests = [match for matches in above for match in matches if match.route.carriers]
        asked = self._exact.get(head.path) or self._matching(head.path) or guests
        carried = _carried(head, asked)
        if carried:
            return carried[0].dialect
        return next((dialect for prefix, dialect in self._prefixes if head.path.startswith(prefix)), self._first)

    def _matching(self, path: str) -> list[Match]:
        segments = path.split("/")
        found = []
        for pattern, match in self._patterns:
            params = _params(pattern, segments)
            if params is not None:
                found.append(Match(match.dialect, match.route, params))
        return found


def _carried(head: Head, matches: list[Match]) -> list[Match]:
    """Those that this request's carriers leave, who asks for a carrier first: he knows more."""
    carried = [match for match in matches if _carries(head, match.route)]
    return sorted(carried, key=lambda match: not match.route.carriers)


def _takes_a_verb(match: Match) -> bool:
    """Whether its path fits only because ":verb" (google.api.http) is taken for a part of a name. It is as much of what
    is asked for as the method is, and is not found with another one."""
    return any(":" in value for value in match.params.values())


def _carries(head: Head, route: Route) -> bool:
    """Whether one of the route's carriers is there: "x-a-header", or "?name" for a query parameter."""
    return not route.carriers or any(
        carrier[1:] in head.query if carrier.startswith("?") else carrier in head.headers for carrier in route.carriers
    )


def _params(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    params = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            name, _, ending = expected[1:].partition("}")
            value = segment.removesuffix(ending)
            if not value or "\0" in value or not segment.endswith(ending):
                return None
            params[name] = value
        elif expected != segment:
            return None
    return params
