"""What is written about an accepted task, and read back by another process: all that is needed to take it up again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from imageway.sandbox.orders import Twist


def owner_of(key: str) -> str:
    """Whose task it is, without the key itself: no credential is ever written."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`body`, `way` and `origin` as they came in; `submitted_s` in seconds since the epoch; `seed` is the caller's, or
    the one drawn for him, so that the same picture comes out again."""

    owner: str
    way: str
    origin: str
    body: Mapping[str, object]
    submitted_s: float
    twist: Twist
    seed: int
    cancelled: bool = False

    def as_bytes(self) -> bytes:
        late_s = None if math.isinf(self.twist.late_s) else self.twist.late_s
        tree = {
            "owner": self.owner,
            "way": self.way,
            "origin": self.origin,
            "body": self.body,
            "submitted_s": self.submitted_s,
            "late_s": late_s,
            "empty": self.twist.empty,
            "item_failed": self.twist.item_failed,
            "seed": self.seed,
            "cancelled": self.cancelled,
        }
        return json.dumps(tree).encode()


def read_record(content: bytes) -> Record | None:
    """None when this is not what `as_bytes` wrote."""
    try:
        tree = json.loads(content)
        late_s, empty, item_failed = tree.pop("late_s"), tree.pop("empty"), tree.pop("item_failed", False)
        return Record(twist=Twist(math.inf if late_s is None else late_s, empty, item_failed), **tree)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
