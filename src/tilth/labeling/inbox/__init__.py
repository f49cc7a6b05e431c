"""The inbox: questions to people, tasks, leases, answers, and what a run takes of them."""

from tilth.labeling.inbox.box import Inbox
from tilth.labeling.inbox.words import (
    Drained,
    Given,
    Member,
    Posted,
    Progress,
    Receipt,
    Said,
    Task,
    Tasks,
    Verdict,
    check_name,
)

__all__ = [
    "Drained",
    "Given",
    "Inbox",
    "Member",
    "Posted",
    "Progress",
    "Receipt",
    "Said",
    "Task",
    "Tasks",
    "Verdict",
    "check_name",
]
