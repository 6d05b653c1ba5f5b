"""A listening process prepares itself: what the system lets it have is asked for before the first connection."""

from __future__ import annotations

import resource

from imageway.server.serving import allow_files


def test_a_process_may_open_as_many_files_as_the_system_lets_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        allow_files()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
