"""The models that MountSea's pages name, at both families of its paths (docs.mountsea.ai: gemini/image, hub/image):
what each is here, and whose it is. Every other model goes by its own id."""

from __future__ import annotations

from typing import Final

USUAL: Final = "nano-banana-fast"
EDITS: Final = "-edit"  # after a model's name: the same model, where an input image is required
MODELS: Final = {
    "nano-banana-fast": "gemini-2.5-flash-image",
    "nano-banana": "gemini-2.5-flash-image",
    "nano-banana-pro": "gemini-3-pro-image",
    "nano-banana-2": "gemini-3.1-flash-image",
    "gpt-image-2": "gpt-image-2",
}
NARROW: Final = frozenset({"nano-banana-fast", "nano-banana", "nano-banana-pro"})  # without the extreme ratios
ONE_SIZE: Final = frozenset({"nano-banana-fast", "nano-banana"})  # without a choice of resolutions
VENDORS: Final = (
    ("gemini", "Google"),
    ("imagen", "Google"),
    ("gpt-image", "OpenAI"),
    ("chatgpt-image", "OpenAI"),
    ("doubao", "ByteDance"),
    ("qwen", "Alibaba"),
)
NAMES: Final = {model: name for name, model in MODELS.items()}  # of two names the later, which the newer paths have


def plain(name: str) -> str:
    """`nano-banana-pro-edit` → `nano-banana-pro`; names that the pages do not have stay whole."""
    base = name.removesuffix(EDITS)
    return base if base in MODELS else name


def edits(name: str) -> bool:
    return plain(name) != name


def model_of(name: str) -> str:
    """Our id of a model, or the name as it came."""
    return MODELS.get(plain(name), name)


def vendor_of(model: str) -> str:
    """By our id; empty for a model of somebody who is not in the table."""
    return next((vendor for beginning, vendor in VENDORS if model.startswith(beginning)), "")
