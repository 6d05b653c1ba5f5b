"""Models, offerings, parameters, prices and geometry: data in TOML, loaded, validated and frozen at start. Pure."""

from imageway.catalog.checking import Checked, check
from imageway.catalog.fitting import Fitted, fit, foreseen, too_large
from imageway.catalog.geometry import parse_size
from imageway.catalog.loading import CatalogError, load
from imageway.catalog.pricing import Bill, Charge, Quote, charge, charge_all, cost, quote, told_apart
from imageway.catalog.search import Catalog, Found

__all__ = [
    "Bill",
    "Catalog",
    "CatalogError",
    "Charge",
    "Checked",
    "Fitted",
    "Found",
    "Quote",
    "charge",
    "charge_all",
    "check",
    "cost",
    "fit",
    "foreseen",
    "load",
    "parse_size",
    "quote",
    "told_apart",
    "too_large",
]
