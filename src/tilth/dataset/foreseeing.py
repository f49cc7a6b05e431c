"""What going back to a version would do, in numbers and in words, before anything is written."""

from collections.abc import Mapping

from tilth.dataset.dataset import Dataset
from tilth.dataset.view import ANSWERED, PENDING
from tilth.words import count

__all__ = ["spoken", "would_roll_back"]


def would_roll_back(dataset: Dataset, version: int) -> dict[str, int]:
    """Return what `dataset.rollback(version)` would do, in numbers; nothing is written. NotFound for no such version.

    Records `removed` and `restored`, `labels` and `others` (weights, splits, contents) set back, questions `withdrawn`,
    and labels `kept` because people gave them since then.
    """
    then, now = dataset.at(version).view, dataset.view
    old = len(then)
    alive = now.alive[:old]
    given = (now.asked[:old] == ANSWERED) & (then.asked != ANSWERED)
    back = dict.fromkeys(("label", "weight", "split", "payload"), 0)
    kept = 0
    for name in back:
        before, after = getattr(then, name), getattr(now, name)[:old]
        differs = then.known & (before != after) & ~((before != before) & (after != after))  # NaN is no label
        if name == "label":
            kept = int((differs & given).sum())
            differs &= ~given
        back[name] = int(differs.sum())
    return {
        "removed": int((alive & ~then.alive).sum() + now.alive[old:].sum()),
        "restored": int((then.alive & ~alive).sum()),
        "labels": back["label"],
        "others": sum(back.values()) - back["label"],
        "withdrawn": int(((now.asked[:old] == PENDING) & (then.asked != PENDING)).sum())
        + int((now.asked[old:] == PENDING).sum()),
        "kept": kept,
    }


def spoken(counts: Mapping[str, int]) -> str:
    """Return in words what `would_roll_back` counted.

    >>> spoken({"removed": 41, "restored": 0, "labels": 1, "others": 0, "withdrawn": 0, "kept": 2})
    'removes 41 records, sets 1 label back; 2 labels that people gave stay'
    >>> spoken(dict.fromkeys(("removed", "restored", "labels", "others", "withdrawn", "kept"), 0))
    'nothing to do'
    """
    parts = [
        f"{does} {count(counts[what], one, many)}{end}"
        for does, what, one, many, end in (
            ("removes", "removed", "record", "records", ""),
            ("restores", "restored", "record", "records", ""),
            ("sets", "labels", "label", "labels", " back"),
            ("sets", "others", "weight, split or content", "weights, splits and contents", " back"),
            ("withdraws", "withdrawn", "question", "questions", ""),
        )
        if counts[what]
    ]
    kept = counts["kept"]
    stays = f"; {count(kept, 'label')} that people gave {'stays' if kept == 1 else 'stay'}" if kept else ""
    return f"{', '.join(parts) or 'nothing to do'}{stays}"
