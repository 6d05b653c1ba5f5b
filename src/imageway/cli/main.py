"""The command line: `imageway COMMAND`. Commands import what they need when they run, so that each starts fast."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from imageway.cli.database_commands import database
from imageway.cli.key_commands import keys
from imageway.cli.ledger_commands import ledger, usage, wallet
from imageway.cli.options import Config, Data, Json, Switch
from imageway.cli.price_commands import prices
from imageway.cli.report_commands import report
from imageway.cli.task_commands import audit, tasks
from imageway.cli.upstream_commands import admin_keys, secrets, upstreams
from imageway.cli.webhook_commands import webhooks
from imageway.cli.workspace_commands import members, workspaces

app = App(name="imageway", help="A self-hosted gateway for AI image generation.", version_flags=["--version"])
app.command(keys)
app.command(workspaces)
app.command(members)
app.command(wallet)
app.command(usage)
app.command(ledger)
app.command(webhooks)
app.command(prices)
app.command(report)
app.command(tasks)
app.command(upstreams)
app.command(secrets)
app.command(admin_keys)
app.command(audit)
app.command(database)


@app.command
def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    sandbox: Switch = False,
    drain: float | None = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Run the gateway. Prints "ready http://HOST:PORT" when it answers.

    Args:
        host: Address to listen on [127.0.0.1].
        port: Port to listen on; 0 picks one [8400].
        workers: How many tasks that wait are run at once; 0: none, others do [64].
        sandbox: Serve pretend upstreams for every provider without a real credential.
        drain: Seconds to finish what is under way after SIGTERM [30].
    """
    from imageway.cli.processes import run_gateway

    flags = {"host": host, "port": port, "workers": workers, "sandbox": sandbox, "drain_s": drain}
    run_gateway({**flags, "data": data, "config": config})


@app.command
def worker(
    *,
    workers: int | None = None,
    sandbox: Switch = False,
    drain: float | None = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Run tasks that wait, and serve nobody. Prints "ready worker" when it has begun.

    Args:
        workers: How many tasks at once [64].
        sandbox: Use pretend upstreams for every provider without a real credential.
        drain: Seconds to finish what is under way after SIGTERM [30].
    """
    from imageway.cli.processes import run_worker

    run_worker({"workers": workers, "sandbox": sandbox, "drain_s": drain, "data": data, "config": config})


@app.command
def sandbox(
    *,
    host: str = "127.0.0.1",
    port: int = 8500,
    latency: float = 0.0,
    fault: Annotated[tuple[str, ...], Parameter(consume_multiple=1, negative="", show_default=False)] = (),
    data: Data = None,
    config: Config = None,
) -> None:
    """Run the pretend providers alone. Prints "ready http://HOST:PORT".

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 picks one.
        latency: Seconds before every generation is answered.
        fault: NAME=RATE, such as rate_limit=0.1; several may follow.
    """
    from imageway.cli.processes import run_sandbox

    del data, config  # every command takes them; this one keeps nothing and reads nothing
    run_sandbox(host, port, latency_s=latency, faults=fault)


@app.command
def models(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the models of the catalog."""
    from imageway.cli.books import Books
    from imageway.cli.catalogue import list_models

    list_models(Books(data, config), as_json=json)


@app.command
def generate(
    prompt: str,
    /,
    *,
    model: Annotated[str, Parameter(name=["--model", "-m"])],
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    size: str | None = None,
    n: int = 1,
    seed: int | None = None,
    image: Annotated[tuple[Path, ...], Parameter(consume_multiple=1, negative="", show_default=False)] = (),
    url: str = "http://127.0.0.1:8400",
    key: Annotated[str | None, Parameter(env_var="IMAGEWAY_KEY")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make pictures through a running gateway and save them.

    Args:
        prompt: What the image should show.
        model: A model id (see `imageway models`).
        output: File to write, .png, .jpg, .jpeg or .webp; more than one picture is numbered [by model and time].
        size: Pixels (1024x1024), a ratio (16:9) or a tier (2K) [the model's default].
        n: How many pictures.
        seed: The same seed draws alike, on models that take one.
        image: An input picture; may be given several times.
        url: The gateway, with or without /v1.
        key: An API key.
    """
    from imageway.cli.generating import Order, generate_pictures

    order = Order(prompt=prompt, model=model, size=size, n=n, seed=seed, images=image, output=output)
    generate_pictures(order, url=url, key=key)


@app.command
def demo(
    *,
    output: Path = Path("demo-output"),
    stop: Switch = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Start a gateway on the embedded default and make pictures through it.

    Args:
        output: Directory for the pictures; the gateway's own data goes below it, unless --data says where.
        stop: End the gateway after the pictures; else it runs until Ctrl-C.
    """
    from imageway.cli.books import Books
    from imageway.cli.demo import run_demo

    run_demo(output, Books(data or output / ".gateway", config), stop=stop)


@app.command
def doctor(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Check configuration, storage, the books, secrets, clock and upstreams, and say what to do."""
    from imageway.cli.checkup import examine

    sys.exit(examine(data, config, as_json=json))


def main() -> None:
    """Entry point: what a person can mend is one sentence on standard error, not a trace."""
    from imageway.catalog import CatalogError
    from imageway.cli.printing import Stop
    from imageway.storage import StorageError

    try:
        app()
    except Stop as stop:
        print(f"imageway: {stop}", file=sys.stderr)
        sys.exit(stop.code)
    except (StorageError, CatalogError) as error:
        print(f"imageway: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
