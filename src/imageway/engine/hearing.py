"""What this process makes of the words of others."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.engine.bulletin import Word
from imageway.engine.crew import Crew


@dataclass(frozen=True, slots=True)
class Ear:
    """Of one process. Words are hints: what is begun or told because of one is read from the store first; a cancelled
    task was marked there before."""

    crew: Crew

    def hear(self, word: Word, task_id: str) -> None:
        engine = self.crew.engine
        if word == "queued":
            self.crew.look()
        elif word == "changed":
            engine.tools.watch.tell(task_id)
        elif (run := engine.running_here(task_id)) is not None and not run.marked:
            engine.spawn(engine.heed(run), run)
