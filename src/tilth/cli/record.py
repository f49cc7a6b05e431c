"""`tilth why`: the history of one record, in sentences."""

from pathlib import Path

from tilth.cli.history import when
from tilth.cli.opening import open_dataset
from tilth.cli.terminal import paragraph, say
from tilth.cli.words import as_json, clean
from tilth.dataset.telling import sentence, standing, told

__all__ = ["why"]


def why(project: Path, key: str, *, json: bool) -> None:
    """Tell all that happened to a record, and how it stands now."""
    dataset = open_dataset(project)
    record = int(dataset.ids([key])[0])
    events = dataset.history(record)
    now = standing(dataset, record)
    if json:
        say(as_json({"key": key, "now": now, "history": [event.to_json() for event in events]}))
        return
    say(clean(key))
    for event in events:
        paragraph(f"version {event.version}, {when(event.time)}: {clean(sentence(event))}", indent=2)
    paragraph(f"now: {clean('; '.join(told(now)))}", indent=2)
