"""Workflows with their verdicts, written down from the article's definition, not read off the judge.

`because` says why a verdict follows, and `open` where the article leaves it open and a decision was made. Drift metrics
are stand-ins: the judge looks at what a metric `needs`, whoever wrote it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from tilth import (
    Gate,
    Panel,
    Record,
    Rule,
    State,
    Team,
    accuracy,
    annotate,
    augment,
    collect,
    disagrees_with_model,
    duplicate,
    entropy,
    gain,
    label_quality,
    labeled,
    labels_spent,
    margin,
    metric,
    novelty,
    recall,
    records,
    relabel,
    remove,
    reweight,
    rounds,
    unlabeled,
)
from tilth.actions import action
from tilth.changes import Changes, Op, events
from tilth.integrations.optuna import OptunaSearch
from tilth.integrations.sklearn import SklearnModel
from tilth.qualify.verdict import (
    DATA_CENTRIC,
    DATA_ONLY,
    MODEL_CENTRIC,
    ONCE,
    PEOPLE_CHOOSE,
    REPLACED,
    WHEN_NOT_WHICH,
)
from tilth.selectors import Chosen
from tilth.tuning import Tune

__all__ = ["CASES", "CROWD", "FIGURES", "GOING_ON", "MODEL", "NETWORK", "RANDOM", "Case", "swap"]

MODEL = SklearnModel(LogisticRegression(C=0.1, max_iter=500), features="pixels")
NETWORK = SklearnModel(MLPClassifier((8,)), features="pixels", embed="mlpclassifier", epochs=20)
BEHIND_PCA = SklearnModel(make_pipeline(PCA(8), LogisticRegression(max_iter=500)), features="pixels", embed="pca")
LEAD, CROWD = Team("lead"), Team("crowd")
GOING_ON = (accuracy() >= 0.99) | (rounds() >= 20)


@metric()
def column_drift(state: State) -> float:
    """How far a column has moved: it reads the data alone."""
    return float(state.view.alive.mean())


@metric(needs={"probabilities"})
def confidence_drift(state: State) -> float:
    """How far the model's confidence on what is not labelled has moved from that on what is."""
    sure, view = state.probabilities.max(axis=0), state.view
    return abs(float(sure[view.train & view.labeled].mean() - sure[view.train & ~view.labeled].mean()))


@metric(needs={"embeddings"})
def embedding_drift(state: State) -> float:
    """How far embeddings have moved."""
    return float(np.nanmean(state.output("embeddings")))


@action
def swap(chosen: Chosen, state: State) -> Changes:
    """Put this month's data in the place of the chosen records."""
    return Changes(events(Op.REMOVE, chosen.ids, reason=chosen.reason))


def flip(record: Record) -> Record:
    """Turn the digits round."""
    return record.change(pixels=record["pixels"][::-1].copy())


@dataclass(frozen=True)
class Case:
    """One workflow: what it is given beside dataset, model and `until`, and its verdict."""

    name: str
    verdict: str
    parts: Mapping[str, Any]
    because: str
    open: str = ""
    figure: int = 0


def _asks(select: Any, **more: Any) -> dict[str, Any]:
    return {"rules": {"ask": Rule(select=select, do=annotate(by=CROWD), **more)}}


ASK = Rule(select=unlabeled.top(20, by=margin()), do=annotate(by=CROWD))
RANDOM = Rule(select=unlabeled.sample(20), do=annotate(by=CROWD))
FORGET = Rule(select=records, do=remove())
TUNE = Tune(OptunaSearch.from_spec({"space": "tilth.integrations.optuna:example", "startup": 10}))

CASES = [
    # the seven figures
    Case(
        "the general loop: train, validate, tune", MODEL_CENTRIC, {"rules": {}, "tune": TUNE},
        "the model changes, the data stand still", figure=1,
    ),
    Case(
        "the data-centric loop: train, assess, change the data", DATA_CENTRIC,
        {"rules": {"fix": Rule(select=labeled.bottom(20, by=label_quality(by="model")), do=relabel(by=CROWD))}},
        "which labels are looked at again, the model's own out-of-fold predictions say", figure=2,
    ),
    Case(
        "which records, then what to do with them", DATA_CENTRIC,
        {"rules": {"flip": Rule(when=recall("3") < 0.9, select=records.where(label="3"), do=augment(flip))}},
        "the article's own example (a flip of all records of a class), triggered by the class's recall", figure=3,
    ),
    Case(
        "active learning: typical records first, then cluster-margin", DATA_CENTRIC,
        {"rules": {
            "start": Rule(when=rounds() < 1, select=unlabeled.typical(10, by="pixels"), do=annotate(by=CROWD)),
            "ask": Rule(select=unlabeled.cluster_margin(10, by="pixels"), do=annotate(by=CROWD)),
        }},
        "the query is chosen by the model's margin, in every round", figure=4,
    ),
    Case(
        "active learning with a sub-workflow that validates annotations", DATA_CENTRIC,
        {"rules": {"ask": Rule(
            select=unlabeled.top(20, by=entropy()),
            do=annotate(by=Panel(CROWD, check=disagrees_with_model(), disputed_by=LEAD)),
        )}},
        "the query is chosen by the model; the sub-workflow changes nothing about that", figure=5,
    ),
    Case(
        "smart generation: new records where the model is wrong", DATA_CENTRIC,
        {"rules": {"make": Rule(select=labeled.bottom(20, by=label_quality(by="model")), do=augment(flip))}},
        "the model's errors decide of what more is made", figure=6,
    ),
    Case(
        "observability: confidence drifts, all is replaced, trained again", REPLACED,
        {"rules": {"forget": FORGET}, "trigger": confidence_drift() > 0.5, "every": "1d"},
        "the model's state raises the signal, and the data are swapped as one object", figure=7,
    ),
    # what is chosen without the model
    Case("random records from the pool", DATA_ONLY, {"rules": {"ask": RANDOM}}, "chance chooses"),
    Case(
        "a quota of each class, at random", DATA_ONLY, _asks(records.sample(200).quota("label", {"3": 10})),
        "a rule of thumb chooses",
    ),
    Case(
        "until the model is good, at random", DATA_ONLY, {"rules": {"ask": RANDOM}, "until": accuracy() >= 0.9},
        "until ends the loop; it triggers nothing",
    ),
    Case(
        "a data-only rule beside a gate that reads the model", DATA_ONLY,
        {"rules": {"flip": Rule(select=labeled.sample(20), do=augment(flip), gate=Gate())}},
        "a gate judges what is done already",
    ),
    Case(
        "a sub-workflow alone reads the model", DATA_ONLY,
        {"rules": {"ask": Rule(
            select=unlabeled.sample(20), do=annotate(by=Panel(CROWD, check=disagrees_with_model()))
        )}},
        "which records are asked about is chance; that answers are checked by the model does not change it",
    ),
    Case(
        "while the budget lasts", DATA_ONLY, _asks(unlabeled.sample(20), when=labels_spent() < 500),
        "a count of answers is no state of the model",
    ),
    Case(
        "near duplicates, by raw columns", DATA_ONLY,
        {"rules": {"weed": Rule(select=labeled.where(duplicate() > 0.99), do=remove())}},
        "the model gives no embeddings: its columns stand for them",
    ),
    Case(
        "far apart by a frozen encoder's column", DATA_ONLY, _asks(unlabeled.diverse(20, by="pixels")),
        "vectors in a column were not learned here",
    ),
    Case(
        "far apart by PCA before the model", DATA_ONLY, {**_asks(unlabeled.diverse(20)), "model": BEHIND_PCA},
        "these embeddings hold nothing that was learned from labels: the model may be any other behind them",
        open="PCA is fitted anew in every round, but sees no label and no prediction",
    ),
    Case(
        "far apart by the last hidden layer", DATA_CENTRIC, {**_asks(unlabeled.diverse(20)), "model": NETWORK},
        "these embeddings are what the model has learned so far",
    ),
    Case(
        "new to the network", DATA_CENTRIC,
        {"rules": {"ask": Rule(select=unlabeled.top(9, by=novelty()), do=annotate(by=CROWD))}, "model": NETWORK},
        "distance in the learned layer is the state of the model",
    ),
    # the probe
    Case(
        "label quality by the probe", DATA_ONLY,
        {"rules": {"fix": Rule(select=labeled.bottom(20, by=label_quality()), do=relabel(by=CROWD))}},
        "an elaborate validation that does not look at the model: with any other model it chooses the same records",
        open="the probe is a model too, trained on the same data in every round; but it is not the one that is trained",
    ),
    Case(
        "label quality by probe and model together", DATA_CENTRIC,
        {"rules": {"fix": Rule(select=labeled.bottom(20, by=label_quality(by="ensemble")), do=relabel(by=CROWD))}},
        "the model has a say",
    ),
    Case(
        "label quality by a probe that is the model itself", DATA_CENTRIC,
        {"rules": {"fix": Rule(select=labeled.bottom(20, by=label_quality()), do=relabel(by=CROWD))}, "probe": MODEL},
        "it is the trained model that judges",
    ),
    Case(
        "label quality by the probe, when the model is bad", DATA_CENTRIC,
        {"rules": {"fix": Rule(when=accuracy() < 0.9, select=labeled.bottom(9, by=label_quality()), do=relabel())}},
        "the model's accuracy triggers each change",
        open="which records, another model says",
    ),
    # people
    Case(
        "a person picks from everything", PEOPLE_CHOOSE,
        {"rules": {"weed": Rule(select=records.picked_by(LEAD), do=remove())}},
        "the decision rests on a person",
    ),
    Case(
        "a person picks from a random few", PEOPLE_CHOOSE, _asks(unlabeled.sample(50).picked_by(LEAD)),
        "chance and a person decide",
    ),
    Case(
        "a person picks among what the model put forward", DATA_CENTRIC,
        _asks(unlabeled.top(50, by=margin()).picked_by(LEAD)),
        "the decision rests on the model, a person has the last word",
        open="how far a person's last word goes cannot be seen from outside; it counts as an approval does",
    ),
    Case(
        "the model says when, a person says which", WHEN_NOT_WHICH,
        {"rules": {"weed": Rule(when=accuracy() < 0.9, select=records.picked_by(LEAD), do=remove())}},
        "the iteration is triggered by the model, the records are not chosen by it",
    ),
    Case(
        "predictions drift, then a person says which", WHEN_NOT_WHICH,
        {"rules": {"weed": Rule(select=records.picked_by(LEAD), do=remove())}, "trigger": confidence_drift() > 0.5},
        "as with a condition of the rule",
    ),
    Case(
        "a person picks, the model says the new label", PEOPLE_CHOOSE,
        {"rules": {"fix": Rule(select=labeled.picked_by(LEAD), do=relabel(by="model"))}},
        "which records, a person decides",
    ),
    Case(
        "a person approves what the model chose", DATA_CENTRIC,
        {"rules": {"weed": Rule(select=labeled.bottom(9, by=label_quality(by="model")), do=remove(approve=LEAD))}},
        "a person may carry the change out, or refuse it",
    ),
    Case(
        "people collect more of what the model takes for a 3", DATA_CENTRIC,
        {"rules": {"more": Rule(select=records.where(predicted="3"), do=collect(5, by=LEAD))}},
        "the model says of what; people find it",
    ),
    # how the change is made
    Case(
        "random records get the label that the model believes in", DATA_CENTRIC,
        {"rules": {"fix": Rule(select=labeled.sample(50), do=relabel(by="model"))}},
        "of those it is shown, the model decides which change and how",
        open="`select` reads nothing of the model; the article speaks of which records, and how",
    ),
    Case(
        "random records get the label that the probe believes in", DATA_ONLY,
        {"rules": {"fix": Rule(select=labeled.sample(50), do=relabel(by="probe"))}},
        "as label quality by the probe",
    ),
    Case(
        "records weigh as much as the model is unsure of them", DATA_CENTRIC,
        {"rules": {"weigh": Rule(select=labeled, do=reweight(entropy()))}},
        "each record is weighed by what the model says of it",
    ),
    # how often
    Case(
        "an elaborate validation in one pass", ONCE,
        {"rules": {"fix": Rule(
            when=accuracy() < 0.9, select=labeled.bottom(20, by=label_quality(by="model")),
            do=relabel(by=Panel(CROWD, votes=3, check=disagrees_with_model(), disputed_by=LEAD)),
        )}, "until": rounds() >= 1},
        "it looks at the model, and once",
    ),
    Case("trained and looked at", ONCE, {"rules": {}}, "nothing changes the data"),
    Case(
        "one round at most, or good before", ONCE,
        {"rules": {"ask": ASK}, "until": (accuracy() >= 0.9) | (rounds() > 0)},
        "after one round it ends in any case",
    ),
    Case(
        "one round at least, and good", DATA_CENTRIC,
        {"rules": {"ask": ASK}, "until": (accuracy() >= 0.9) & (rounds() >= 1)}, "it goes on until the model is good",
    ),
    Case(
        "the model chooses in the first round only", ONCE,
        {"rules": {"ask": Rule(when=rounds() < 1, select=unlabeled.top(9, by=margin()), do=annotate(by=CROWD))}},
        "its only rule acts once",
    ),
    Case(
        "the model chooses first, chance afterwards", DATA_ONLY,
        {"rules": {
            "first": Rule(when=~(rounds() >= 1), select=unlabeled.top(9, by=margin()), do=annotate(by=CROWD)),
            "then": RANDOM,
        }},
        "what iterates is chance",
    ),
    Case(
        "one round, every day anew", DATA_CENTRIC, {"rules": {"ask": ASK}, "until": rounds() >= 1, "every": "1d"},
        "it iterates over days",
    ),
    # drift
    Case(
        "drift of a column, all is replaced", DATA_ONLY,
        {"rules": {"forget": FORGET}, "trigger": column_drift() > 0.5, "every": "1d"},
        "nothing looks at the model",
    ),
    Case(
        "drift of frozen embeddings, all is replaced", DATA_ONLY,
        {"rules": {"forget": FORGET}, "trigger": embedding_drift() > 0.5, "model": BEHIND_PCA},
        "nothing looks at what the model learned",
    ),
    Case(
        "drift of learned embeddings, all is replaced", REPLACED,
        {"rules": {"forget": FORGET}, "trigger": embedding_drift() > 0.5, "model": NETWORK},
        "the model's state raises the signal, and the data are swapped as one object",
    ),
    Case(
        "drift of predictions, some records change", DATA_CENTRIC,
        {"rules": {"more": Rule(select=records.where(label="3"), do=augment(flip))},
         "trigger": confidence_drift() > 0.5},
        "the model's state triggers a change of records",
        open="which records change, the model does not say",
    ),
    Case(
        "all is replaced, and the model asks for records", DATA_CENTRIC,
        {"rules": {"forget": FORGET, "ask": ASK}, "trigger": confidence_drift() > 0.5},
        "the second rule qualifies by itself",
    ),
    Case(
        "accuracy falls, one action takes all records", REPLACED,
        {"rules": {"swap": Rule(when=accuracy() < 0.8, select=records, do=swap())}},
        "all records are one object to it",
    ),
    Case(
        "predictions drift, trained again on what there is", REPLACED,
        {"rules": {}, "trigger": confidence_drift() > 0.5},
        "a signal to train again, and no rule that decides about records",
    ),
    Case("trained again every week", DATA_ONLY, {"rules": {}, "every": "7d"}, "the calendar triggers"),
    # mixtures of both arms and of chance
    Case(
        "four fifths by margin, a fifth by chance", DATA_CENTRIC,
        _asks((0.8 * unlabeled.top(50, by=margin()) | 0.2 * unlabeled.sample(50)).first(20)),
        "the model decides of most",
    ),
    Case(
        "tuned, and asked by the model", DATA_CENTRIC, {"rules": {"ask": ASK}, "tune": TUNE},
        "the data arm qualifies, whatever the other does",
    ),
    Case(
        "tuned, and asked by chance", DATA_ONLY, {"rules": {"ask": RANDOM}, "tune": TUNE},
        "the data change without the model",
        open="the model changes because of its state, the data do not",
    ),
    Case(
        "at random, whenever accuracy stands still", DATA_CENTRIC,
        _asks(unlabeled.sample(20), when=gain(accuracy()) < 0.01),
        "the model's state triggers each change",
        open="chance chooses the records; the article asks for the trigger",
    ),
]  # fmt: skip

FIGURES = [case for case in CASES if case.figure]
