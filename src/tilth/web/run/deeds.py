"""What a person can do about a run: said in numbers before, and refused where they rest on another head."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tilth.dataset import Dataset
from tilth.dataset.undoing import spoken
from tilth.errors import Conflict, NotFound, UsageError, did_you_mean
from tilth.runs import Run, lives
from tilth.runs.detaching import detach, workflow_of
from tilth.runs.telling import step_said
from tilth.web.routes import whole
from tilth.web.site import Site
from tilth.words import count

__all__ = ["DEEDS", "Deed", "agree", "foreseen"]

_SET = ("label", "weight", "split", "content")
"""What is set in a record, in the words of a diff; in all else a record comes, goes, is asked about or answered."""


@dataclass(frozen=True)
class Deed:
    """What would be done: `says` in sentences, `on` what the numbers rest on, `do` does it and says where to look.

    `do` takes the name of who does it, and returns the address of the page that shows what came of it.
    """

    title: str
    says: tuple[str, ...]
    on: str
    button: str
    do: Callable[[str], str]
    danger: bool = False
    undone: tuple[str, ...] = ()
    """What the versions did that came since the one to go back to, newest first."""
    nothing: bool = False
    """Whether there is nothing to do."""


def foreseen(site: Site, run: Run, what: str, asked: Mapping[str, str]) -> Deed:
    """Return what an action would do to a run; nothing is written. NotFound for an action that there is not."""
    if what not in DEEDS:
        raise NotFound(f"no action {what[:40]!r}. {did_you_mean(what, DEEDS)}")
    return DEEDS[what](site, run, asked)


def _pause(site: Site, run: Run, _: Mapping[str, str]) -> Deed:
    _not_over(run, "pause")
    if run.state == "paused":
        raise UsageError(f"{run.name} is paused already; resume it")

    def do(_: str) -> str:
        lives.pause(site.dataset(), run.name, engine=site.engine)
        return f"/runs/{run.name}"

    under = f" (the last that finished: {step_said(run.steps[-1]['key'])})" if run.steps else ""
    says = f"{run.name} stops after the step under way{under}. {_kept(run)}"
    return Deed(f"Pause {run.name}", (says, "It goes on where it was when it is resumed."), _standing(run), "Pause", do)


def _resume(site: Site, run: Run, _: Mapping[str, str]) -> Deed:
    _not_over(run, "resume")
    if run.at_work:
        raise UsageError(f"a process is at work on {run.name} already; there is nothing to resume")
    dataset = site.dataset()
    file = workflow_of(dataset, run.source)
    if file is None:
        raise NotFound(f"the file that {run.name} came from is gone: {run.source}. Put it back, or `tilth run FILE`")

    def do(_: str) -> str:
        detach(dataset, file, which=run.name, engine=site.engine)
        return f"/runs/{run.name}"

    says = (
        f"A process of its own goes on with {run.name}, from {file.name}. {_kept(run)}",
        "It goes on when this page is closed.",
    )
    return Deed(f"Resume {run.name}", says, _standing(run), "Resume", do)


def _cancel(site: Site, run: Run, _: Mapping[str, str]) -> Deed:
    _not_over(run, "cancel")
    made = [c for c in site.dataset(run.branch).log() if c.run == run.name]
    says = [f"{run.name} ends for good, in the middle of a training if need be."]
    says.append(f"What it changed stays: {count(len(made), 'version')}. {_kept(run)}")
    now = [progress for _, progress in site.asked(run.name)]
    if now:
        answers, left = sum(p.answers for p in now), sum(p.tasks - p.complete for p in now)
        says.append(
            f"{count(answers, 'answer')} that people gave {'is' if answers == 1 else 'are'} taken first; "
            f"{count(left, 'open task')} {'is' if left == 1 else 'are'} withdrawn."
        )

    def do(_: str) -> str:
        lives.cancel(site.dataset(), run.name, engine=site.engine)
        return f"/runs/{run.name}"

    return Deed(f"Cancel {run.name}", tuple(says), _standing(run), "Cancel the run", do, danger=True)


def _fork(site: Site, run: Run, asked: Mapping[str, str]) -> Deed:
    wanted = _whole(asked, "round")
    starts = {s["key"]: s["result"]["version"] for s in run.steps if s["key"].endswith("/start")}
    if f"r{wanted}/start" not in starts:
        last = len(starts) - 1
        raise NotFound(f"{run.name} has no round {wanted}; {f'it has 0 to {last}' if starts else 'it has none yet'}")
    left = len(starts) - wanted

    def do(_: str) -> str:
        made = lives.fork(site.dataset(), run.name, from_round=wanted, engine=site.engine)
        return f"/runs/{made.name}"

    says = (
        f"A new run, on a branch of its own, shares {count(wanted, 'round')} with {run.name}; nothing is copied.",
        f"It begins at version {starts[f'r{wanted}/start']}.",
        f"The {count(left, 'round')} from round {wanted} on are not in it; {run.name} stays as it is.",
        "It is paused at first: edit its workflow, or resume it.",
    )
    # a fork changes nothing of the run, so its branch is what tells that somebody has confirmed already
    on = f"{_standing(run)}, {count(len(site.dataset().branches), 'branch', 'branches')}"
    return Deed(f"Fork {run.name} from round {wanted}", says, on, "Fork", do)


def _rollback(site: Site, run: Run, asked: Mapping[str, str]) -> Deed:
    dataset, to = site.dataset(run.branch), _whole(asked, "version")
    counts = dataset.would_roll_back(to)
    head = dataset.version
    undone = _undone(dataset, to, head)

    def do(who: str) -> str:
        made = dataset.rollback(to, actor=who)
        return f"/runs/{run.name}?version={made.version}#version"

    nothing = not any(n for what, n in counts.items() if what != "kept")
    first = f"From version {head} back to the data of version {to}: {spoken(counts)}."
    says = [first, *_work(run), f"This is a version of its own, so it can be undone as well. {_answers(dataset)}"]
    title = f"Go back to version {to}"
    return Deed(title, tuple(says), _head(head), "Go back", do, danger=True, undone=undone, nothing=nothing)


def _revert(site: Site, run: Run, asked: Mapping[str, str]) -> Deed:
    dataset, version = site.dataset(run.branch), _whole(asked, "version")
    commit = dataset.at(version).log()[-1]
    if version == 0:
        raise UsageError("version 0 is the records as they were imported; there is nothing before it to go back to")
    counts = dataset.would_revert(version)

    def do(who: str) -> str:
        made = dataset.revert(version, actor=who)
        return f"/runs/{run.name}?version={made.version}#version"

    what = f"{_by(commit.rule, commit.round)}{commit.message}"
    says = [f"Undoes {count(counts['undone'], 'change')} of version {version}: {what}"]
    if counts["touched"]:
        says.append(f"{count(counts['touched'], 'record')} stay as they are, because later versions touched them.")
    if counts["kept"]:
        says.append(f"{count(counts['kept'], 'label')} that people gave stay.")
    says += [*_work(run), f"This is a version of its own, so it can be undone as well. {_answers(dataset)}"]
    return Deed(
        f"Undo version {version}",
        tuple(says),
        _head(dataset.version),
        "Undo it",
        do,
        danger=True,
        nothing=not counts["undone"],
    )


DEEDS: Mapping[str, Callable[[Site, Run, Mapping[str, str]], Deed]] = {
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "fork": _fork,
    "rollback": _rollback,
    "revert": _revert,
}


def agree(deed: Deed, seen: str) -> None:
    """Conflict where what was confirmed rests on something else than what is there now."""
    if seen != deed.on:
        was = f"it was {seen[:80]} when you looked" if seen else "it was not confirmed"
        raise Conflict(f"nothing was done: {was}, now it is {deed.on}. Look again")


def _undone(dataset: Dataset, to: int, head: int) -> tuple[str, ...]:
    """Return what each version between two did of what differs between them, the newest first."""
    found = dataset.diff(to, head)
    counts = Counter(zip(found["version"].to_pylist(), found["what"].to_pylist(), strict=True))
    out: list[str] = []
    for commit in dataset.log()[:to:-1]:
        did = [
            f"{count(n, 'record')} {what}" if what not in _SET else f"{count(n, what)} set"
            for (version, what), n in counts.items()
            if version == commit.version
        ]
        by = _by(commit.rule, commit.round)
        out.append(f"version {commit.version}: {by}{', '.join(did) or 'nothing that still shows'}; {commit.message}")
    return tuple(out)


def _not_over(run: Run, what: str) -> None:
    if run.state in lives.OVER:
        raise UsageError(f"{run.name} is {run.state}; there is nothing to {what}")


def _standing(run: Run) -> str:
    return f"{run.name}, {run.standing}"


def _head(version: int) -> str:
    return f"version {version}"


def _kept(run: Run) -> str:
    return f"{count(len(run.steps), 'step')} that {'has' if len(run.steps) == 1 else 'have'} finished stay as they are."


def _work(run: Run) -> list[str]:
    return [f"{run.name} is running: it sees this from its next round on."] if run.at_work else []


def _answers(dataset: Dataset) -> str:
    given = dataset.answers().num_rows
    return f"{count(given, 'answer')} in the history {'stays' if given == 1 else 'stay'}." if given else ""


def _by(rule: str, round_of: int) -> str:
    return f"rule {rule!r}{f' in round {round_of}' if round_of >= 0 else ''}, " if rule else ""


def _whole(asked: Mapping[str, str], name: str) -> int:
    found = whole(asked, name)
    if found is None:
        raise UsageError(f"{name}= is missing: a whole number of 0 or more")
    return found
