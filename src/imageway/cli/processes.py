"""`imageway serve`, `imageway worker` and `imageway sandbox`: the commands that stay."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from imageway.cli.printing import Stop
from imageway.server.configuration import ConfigurationError, Flags, Settings, read_settings
from imageway.server.serving import Opener, Service, run, run_unheard
from imageway.telemetry import configure


def run_gateway(flags: Flags) -> None:
    settings = _settings(flags)
    _run(_opener(settings), settings)


def run_worker(flags: Flags) -> None:
    settings = _settings(flags)
    if not settings.workers:
        raise Stop("--workers 0 would do nothing: give it 1 or more")
    try:
        run_unheard(_opener(settings))
    except (OSError, ConfigurationError, ValueError) as error:
        raise Stop(_why(error, "cannot work")) from None


def _settings(flags: Flags) -> Settings:
    try:
        settings = read_settings(flags)
    except ConfigurationError as error:
        raise Stop(str(error)) from None
    configure(level=settings.log_level)
    return settings


def _opener(settings: Settings) -> Opener:
    @contextlib.asynccontextmanager
    async def opener(url: str) -> AsyncIterator[Service]:
        from imageway.server.bootstrap import open_gateway

        async with open_gateway(settings, public_url=url) as gateway:
            yield Service(gateway.app, gateway.drain)

    return opener


def _run(opener: Opener, settings: Settings) -> None:
    try:
        limits = settings.connections
        run(opener, host=settings.host, port=settings.port, drain_s=settings.drain_s, limits=limits)
    except (OSError, ConfigurationError, ValueError) as error:
        raise Stop(_why(error, f"cannot serve on {settings.host}:{settings.port}")) from None


def _why(error: Exception, otherwise: str) -> str:
    """An error about a file is one of the data directory, whatever was to be done there."""
    if not isinstance(error, OSError):
        return f"cannot start: {error}"
    return f"{otherwise if error.filename is None else 'the data directory cannot be used'}: {error}"


def run_sandbox(host: str, port: int, *, latency_s: float, faults: tuple[str, ...]) -> None:
    from imageway.sandbox import open_sandbox
    from imageway.server.sandbox_app import sandbox_app

    try:
        pretend = open_sandbox(latency_s=latency_s, faults=dict(_fault(text) for text in faults))
    except ValueError as error:
        raise Stop(str(error)) from None

    @contextlib.asynccontextmanager
    async def opener(url: str) -> AsyncIterator[Service]:
        yield Service(sandbox_app(pretend))

    try:
        run(opener, host=host, port=port, drain_s=0)
    except OSError as error:
        raise Stop(f"cannot serve on {host}:{port}: {error}") from None


def _fault(text: str) -> tuple[str, float]:
    """ "rate_limit=0.1" → ("rate_limit", 0.1)."""
    name, _, rate = text.partition("=")
    try:
        share = float(rate or "1")
    except ValueError:
        raise Stop(f'--fault "{text}": write NAME=RATE with a rate from 0 to 1, such as rate_limit=0.1') from None
    if not 0 <= share <= 1:
        raise Stop(f'--fault "{text}": the rate is a share from 0 to 1')
    return name, share
