"""The options that many commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Data = Annotated[Path | None, Parameter(help="Data directory [$IMAGEWAY_DATA, else ./imageway-data].")]
Config = Annotated[Path | None, Parameter(help="Configuration file [$IMAGEWAY_CONFIG, else ./imageway.toml if there].")]
Words = Annotated[list[str] | None, Parameter(consume_multiple=1, negative="")]
"""One or more after the option's name; None: it was not given. None at all after it is a mistake: in a script, often a
list that should not have been empty."""
Switch = Annotated[bool, Parameter(negative="", show_default=False)]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON and nothing else.")]
