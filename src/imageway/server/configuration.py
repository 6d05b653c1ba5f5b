"""Settings: flag, then environment, then `imageway.toml`, then default. Unknown names in the file are errors."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from imageway.catalog import Catalog
from imageway.core.upstreams import PRETEND, Upstream
from imageway.engine.settings import EngineSettings
from imageway.server.limits import ConnectionLimits
from imageway.server.scopes import Network, networks_of

T = TypeVar("T", EngineSettings, ConnectionLimits)
FILE_NAME = "imageway.toml"
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_PUBLIC_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", re.IGNORECASE)
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


class ConfigurationError(Exception):
    """A setting that cannot be used; the message names it and says what is accepted."""


class UpstreamRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[upstreams]]`: a credential at a provider. The key itself, or the name of the variable that holds it."""

    provider: str
    id: str = ""
    key: str = ""
    key_env: str = ""
    base_url: str = ""
    weight: int = 1
    values: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"UpstreamRow(provider={self.provider!r}, id={self.id!r}, base_url={self.base_url!r})"


class FileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of imageway.toml."""

    host: str | None = None
    port: int | None = None
    public_url: str | None = None
    database: str | None = None
    media: str | None = None
    media_options: dict[str, str | bool | int] = {}  # as obstore calls them; they may hold a credential
    media_redirect: bool = False
    catalog: str | None = None  # a directory of the operator's own TOML
    drain_s: float | None = None
    workers: int | None = None
    log_level: str | None = None
    request_bytes: int | None = None
    spool_bytes: int | None = None
    fetch_allow: tuple[str, ...] = ()
    webhook_allow: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    limits: dict[str, float] = {}
    connections: dict[str, float] = {}
    upstreams: tuple[UpstreamRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one process runs with. `data` holds the database, images, spool and lock files of the embedded default."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8400
    public_url: str | None = None
    database: str = field(default="", repr=False)  # may hold a password
    media: str = ""
    media_options: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a credential
    media_redirect: bool = False
    catalog: Path | None = None
    sandbox: bool = False
    drain_s: float = 30.0
    workers: int = 64
    log_level: str = "info"
    request_bytes: int = 32 * 1024 * 1024
    spool_bytes: int = 16 * 1024 * 1024 * 1024
    fetch_allow: tuple[str, ...] = ()
    webhook_allow: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    engine: EngineSettings = field(default_factory=EngineSettings)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    upstream_rows: tuple[UpstreamRow, ...] = ()

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite://{self.data / 'imageway.db'}"

    @property
    def media_url(self) -> str:
        return self.media or f"file://{self.data / 'images'}"


Flags = Mapping[str, str | int | float | bool | Path | None]


def read_settings(flags: Flags, environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises ConfigurationError."""
    chosen = flags.get("config") or environment.get("IMAGEWAY_CONFIG")
    file = _read_file(Path(str(chosen)) if chosen else None)
    named = {
        "host": environment.get("IMAGEWAY_HOST") or file.host,
        "port": _first(_number("IMAGEWAY_PORT", environment), file.port),
        "public_url": environment.get("IMAGEWAY_PUBLIC_URL") or file.public_url,
        "database": environment.get("IMAGEWAY_DATABASE") or file.database,
        "media": environment.get("IMAGEWAY_MEDIA") or file.media,
        "media_redirect": file.media_redirect,
        "drain_s": file.drain_s,
        "workers": _first(_number("IMAGEWAY_WORKERS", environment), file.workers),
        "log_level": environment.get("IMAGEWAY_LOG_LEVEL") or file.log_level,
        "request_bytes": _first(_number("IMAGEWAY_REQUEST_BYTES", environment), file.request_bytes),
        "spool_bytes": _first(_number("IMAGEWAY_SPOOL_BYTES", environment), file.spool_bytes),
        **{name: value for name, value in flags.items() if name not in ("config", "data") and value is not None},
    }
    catalog = environment.get("IMAGEWAY_CATALOG") or file.catalog
    values: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if "public_url" in values:
        values["public_url"] = str(values["public_url"]).rstrip("/")
    _check(values)
    return Settings(
        data=Path(str(flags.get("data") or environment.get("IMAGEWAY_DATA") or "imageway-data")).absolute(),
        catalog=Path(catalog) if catalog else None,
        media_options=_media_options(str(values.get("media", "")), file, environment),
        fetch_allow=file.fetch_allow,
        webhook_allow=file.webhook_allow,
        trusted_proxies=_proxies(file.trusted_proxies),
        engine=_engine(file.limits),
        connections=_limits("connections", ConnectionLimits, file.connections),
        upstream_rows=file.upstreams,
        **values,
    )


def _read_file(path: Path | None) -> FileSettings:
    chosen = path or Path(FILE_NAME)
    try:
        return msgspec.convert(tomllib.loads(chosen.read_text()), FileSettings)
    except FileNotFoundError:
        if path is None:
            return FileSettings()
        raise ConfigurationError(f'the configuration file "{path}" is not there') from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{chosen}: {error}") from None


def _media_options(media: str, file: FileSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """obstore reads the environment itself; only an endpoint, which may be plain http, must be known before."""
    options = {name: _plain(value) for name, value in file.media_options.items()}
    endpoint = next((found for name in ENDPOINT_VARIABLES if (found := environment.get(name))), "")
    return {"endpoint": endpoint} | options if endpoint and media.startswith("s3://") else options


def _plain(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(name: str, environment: Mapping[str, str]) -> int | None:
    text = environment.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f'{name} is "{text}"; a whole number is needed')
    return int(text)


def _first(*values: int | None) -> int | None:
    """The first that was given; zero is a value."""
    return next((value for value in values if value is not None), None)


def _check(values: Mapping[str, Any]) -> None:
    """What no type says."""
    if not 0 <= values.get("port", 0) <= 65_535:
        raise ConfigurationError(f'port is "{values["port"]}"; a number from 0 to 65535 is needed')
    if "public_url" in values and not _PUBLIC_URL.fullmatch(values["public_url"]):
        raise ConfigurationError(f'public_url is "{values["public_url"]}"; http:// or https:// and a host are needed')
    if values.get("log_level", "info").lower() not in LOG_LEVELS:
        raise ConfigurationError(f'log_level is "{values["log_level"]}"; it is one of {", ".join(LOG_LEVELS)}')
    if not 0 <= values.get("drain_s", 0) < math.inf:
        raise ConfigurationError(f'drain is "{values["drain_s"]}"; seconds from 0 up are needed')
    if values.get("media_redirect") and values.get("media", "file:").startswith("file:"):
        raise ConfigurationError("media_redirect sends readers to the media store: a bucket is needed (media)")
    if values.get("workers", 0) < 0:
        raise ConfigurationError(f'workers is "{values["workers"]}"; a number from 0 up is needed')
    for name in ("request_bytes", "spool_bytes"):
        if values.get(name, 1) < 1:
            raise ConfigurationError(f'{name} is "{values[name]}"; a number from 1 up is needed')


def _proxies(blocks: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return networks_of(blocks)
    except ValueError as error:
        raise ConfigurationError(f"trusted_proxies: {error}") from None


def _engine(limits: Mapping[str, float]) -> EngineSettings:
    """A lease must outlive a renewal that came late, or its process is buried alive; a claim on a webhook the try it is
    for, or two processes send it."""
    engine = _limits("limits", EngineSettings, limits)
    if engine.lease_s < 2 * engine.lease_renew_s:
        needed = f'at least twice lease_renew_s ("{engine.lease_renew_s:g}") is needed'
        raise ConfigurationError(f'[limits] lease_s is "{engine.lease_s:g}"; {needed}')
    if engine.webhook_claim_s < 2 * engine.webhook_deadline_s:
        needed = f'at least twice webhook_deadline_s ("{engine.webhook_deadline_s:g}") is needed'
        raise ConfigurationError(f'[limits] webhook_claim_s is "{engine.webhook_claim_s:g}"; {needed}')
    return engine


def _limits(table: str, kind: type[T], limits: Mapping[str, float]) -> T:
    """A table of the file as the dataclass that names its limits."""
    known = {field.name: field.type for field in fields(kind)}
    unknown = sorted(set(limits) - set(known))
    if unknown:
        raise ConfigurationError(f'[{table}] has no "{unknown[0]}"; there are {", ".join(sorted(known))}')
    for name, value in limits.items():
        if not 0 < value < math.inf or (known[name] == "int" and value != int(value)):
            wanted = "a whole number from 1 up" if known[name] == "int" else "a number above 0"
            raise ConfigurationError(f'[{table}] {name} is "{value:g}"; {wanted} is needed')
    values: dict[str, Any] = {name: int(v) if known[name] == "int" else v for name, v in limits.items()}
    return kind(**values)


def upstreams_of(settings: Settings, catalog: Catalog, environment: Mapping[str, str]) -> tuple[Upstream, ...]:
    """Every credential there is; with `sandbox`, a pretend one for each provider that has no real one."""
    return with_pretend(settings, catalog, configured_upstreams(settings, catalog, environment))


def configured_upstreams(settings: Settings, catalog: Catalog, environment: Mapping[str, str]) -> tuple[Upstream, ...]:
    """Those of the file and the environment. Raises ConfigurationError."""
    real = (*_from_rows(settings, catalog, environment), *_from_environment(catalog, environment))
    ids = [upstream.id for upstream in real]
    for upstream_id in ids:
        if ids.count(upstream_id) > 1:
            raise ConfigurationError(f'two upstreams have the id "{upstream_id}"; give each one its own')
    return real


def with_pretend(
    settings: Settings, catalog: Catalog, real: tuple[Upstream, ...], unused: Iterable[str] = ()
) -> tuple[Upstream, ...]:
    """With `sandbox`, a pretend one too for each provider that has no real one. `unused`: providers with a credential
    that is not used just now. What can really be bought there is not pretended either."""
    have = {*unused, *(upstream.provider for upstream in real)}
    pretend = [
        Upstream(
            id=f"{PRETEND}{provider.id}",
            provider=provider.id,
            base_url=f"sandbox:{provider.sandbox}",
            auth=provider.auth,
            secrets={"key": "sandbox-key"},
            sandbox=True,
        )
        for provider in catalog.providers.values()
        if settings.sandbox and provider.id not in have
    ]
    return (*real, *pretend)


def _from_environment(catalog: Catalog, environment: Mapping[str, str]) -> list[Upstream]:
    return [
        Upstream(
            id=provider.id,
            provider=provider.id,
            base_url=(environment.get(provider.base_url_env) or provider.base_url).rstrip("/"),
            auth=provider.auth,
            secrets={"key": key},
            credential_origins=provider.credential_origins,
        )
        for provider in catalog.providers.values()
        if (key := environment.get(provider.key_env, ""))
    ]


def _from_rows(settings: Settings, catalog: Catalog, environment: Mapping[str, str]) -> list[Upstream]:
    found = []
    for number, row in enumerate(settings.upstream_rows, 1):
        try:
            key = row.key or environment.get(row.key_env, "")
            found.append(upstream_of(catalog, row, key=key, upstream_id=row.id or f"{row.provider}-{number}"))
        except ConfigurationError as error:
            raise ConfigurationError(f"[[upstreams]] {number}: {error}") from None
    return found


def upstream_of(catalog: Catalog, row: UpstreamRow, *, key: str, upstream_id: str) -> Upstream:
    """Raises ConfigurationError for a row that cannot be one."""
    provider = catalog.providers.get(row.provider)
    if provider is None:
        raise ConfigurationError(f'provider "{row.provider}" is none of {", ".join(catalog.providers)}')
    if row.weight < 1:
        raise ConfigurationError(f'weight is "{row.weight}"; a number from 1 up is needed')
    if not key:
        raise ConfigurationError("give a key, or key_env and that variable")
    return Upstream(
        id=upstream_id,
        provider=provider.id,
        base_url=(row.base_url or provider.base_url).rstrip("/"),
        auth=provider.auth,
        secrets={"key": key},
        values=row.values,
        credential_origins=provider.credential_origins,
        weight=row.weight,
    )
