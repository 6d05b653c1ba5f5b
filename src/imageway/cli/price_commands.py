"""`imageway prices …`: how its commands are written. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from imageway.cli.options import Config, Data, Json, Switch

prices = App(name="prices", help="What models are sold for.")


@prices.command(name="show")
def show_prices(
    model: str, /, *, workspace: str | None = None, json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Show the price rows of a model as a workspace pays them now.

    Args:
        model: Id or alias.
        workspace: Name or id; without one, what workspaces without rules of their own pay.
    """
    from imageway.cli import prices as work
    from imageway.cli.books import Books

    work.show(Books(data, config), model, workspace, as_json=json)


@prices.command(name="rules")
def list_rules(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the rules that were made, ended ones too."""
    from imageway.cli import prices as work
    from imageway.cli.books import Books

    work.rules(Books(data, config), as_json=json)


@prices.command(name="set")
def set_rule(
    models: str,
    /,
    *,
    workspace: str | None = None,
    multiplier: str = "1",
    per_image: str = "0",
    rows: Path | None = None,
    since: Annotated[str | None, Parameter(name="--from")] = None,
    source: str = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a rule: prices are multiplied, then something is added for each image.

    Args:
        models: An id or a pattern such as "gpt-*".
        workspace: Name or id; all when left out.
        multiplier: "1.2" adds a fifth.
        per_image: Dollars.
        rows: A JSON file with price rows that stand in place of the catalog's own.
        since: From when on, ISO 8601 [now].
        source: Why; shown wherever the rule is.
    """
    from imageway.cli import prices as work
    from imageway.cli.books import Books
    from imageway.server.administration.prices import RuleAsked

    asked = RuleAsked(
        models=models,
        workspace=workspace,
        multiplier=multiplier,
        per_image_usd=per_image,
        prices=work.rows_in(rows),
        from_time=since,
        source=source,
    )
    work.set_one(Books(data, config), asked, as_json=json)


@prices.command(name="end")
def end_rule(rule: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """End a rule. What was accepted before is still charged by it.

    Args:
        rule: The id that `prices rules` shows.
    """
    from imageway.cli import prices as work
    from imageway.cli.books import Books

    work.end(Books(data, config), rule, as_json=json)


@prices.command(name="check")
def check_prices(
    *,
    litellm: Path | None = None,
    fail: Switch = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Compare the catalog's list prices with others' lists (for development).

    Args:
        litellm: LiteLLM's model_prices_and_context_window.json [the one of the installed package].
        fail: Exit with 1 when something differs.
    """
    from imageway.cli import prices as work
    from imageway.cli.books import Books

    if not work.check(Books(data, config), litellm, as_json=json) and fail:
        raise SystemExit(1)
