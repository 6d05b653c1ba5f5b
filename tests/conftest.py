"""What is made up by chance is the same on every machine and every day, and no example fails for the time it took."""

from __future__ import annotations

from hypothesis import settings

settings.load_profile("ci")
