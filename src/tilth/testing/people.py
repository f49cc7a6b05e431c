"""A person for tests and simulations: leases tasks from a real inbox and answers them, as people do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tilth.dataset import Dataset
from tilth.labeling.inbox import Given, Inbox, Task, Verdict

__all__ = ["Says", "answer_open", "from_column"]

Says = Callable[[Task], "tuple[Verdict, Any]"]
"""What a person says of a task: (verdict, value), such as ("answer", "cat") or ("skip", None)."""


def answer_open(where: str | Path, name: str, says: Says, *, team: str = "", most: int | None = None) -> int:
    """Answer the tasks that are open for a person now, at most so many; return how many were answered.

    `where`: the inbox, as a file or a Postgres URL. Each answer is on disk before the next task is looked at.
    """
    done = 0
    with Inbox(where) as inbox:
        while most is None or done < most:
            tasks = inbox.lease(name, 16 if most is None else min(16, most - done), team=team)
            if not tasks:
                break
            for task in tasks:
                verdict, value = says(task)
                receipt = inbox.answer(name, [Given(task.id, verdict, value)])[0]
                if not receipt.kept:
                    raise AssertionError(f"{name} could not answer {task.key!r}: {receipt.why}")
                done += 1
        inbox.release(name)
    return done


def from_column(column: str) -> Says:
    """Return somebody who answers "label" questions with the value of a (hidden) column, and "yes" to the others."""

    def says(task: Task) -> tuple[Verdict, Any]:
        asked = task.question
        if asked.kind != "label":
            return "answer", "yes"
        dataset = Dataset.open(asked.dataset, branch=asked.branch).at(asked.version)
        found = dataset.features(np.array([task.record]), [column])[column].to_pylist()[0]
        return ("cannot_tell", None) if found in (None, "") else ("answer", found)

    return says
