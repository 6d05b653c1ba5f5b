"""Which candidates serve a request, in which order, and which of them are healthy. Decisions only, no I/O."""

from imageway.routing.health import Health
from imageway.routing.plans import Candidate, candidates, in_order

__all__ = ["Candidate", "Health", "candidates", "in_order"]
