"""What is compared: the cases, and the arms of each, as they would be written in a workflow."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.label_efficiency.data import WORD, Drawn, banking77, digits, digits_junk, digits_rare, fashion, trec
from bench.label_efficiency.models import Embedded
from tilth import entropy, least_confident, margin, unlabeled
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Model
from tilth.selectors import Selector

__all__ = ["BASE", "CASES", "Arm", "Case", "arms", "starts"]

BASE = "random"
MAIN = (
    BASE,
    "margin",
    "entropy",
    "least confident",
    "typical, then margin",
    "centers, then margin",
    "typical, then cluster-margin",
    "typical, then cluster-margin of 3 k",
    "cluster-margin",
    "BADGE",
    "margin, diverse",
    "margin 80 %, random 20 %",
    "k-center, learned",
    "k-center, raw",
    "covering",
)
FEWER = (
    BASE,
    "margin",
    "entropy",
    "typical, then margin",
    "typical, then cluster-margin",
    "typical, then cluster-margin of 3 k",
    "cluster-margin",
    "BADGE",
    "margin, diverse",
    "margin 80 %, random 20 %",
    "k-center, learned",
    "k-center, raw",
)


@dataclass(frozen=True)
class Case:
    """Data, model, and how many records are asked about a round.

    `near`: the vectors in which near means alike, known without labels; `spread`: those that batches are spread over;
    `raw`: the features as they come; `sizes`: how many first labels the starts are compared at; `rare`: a class whose
    recall is told too; `looped`: by the parts of a run, without keeping every model.
    """

    title: str
    draw: Callable[[Path, int], Drawn]
    model: Callable[[str], Model]
    start: int
    batch: int
    most: int
    near: str
    spread: str
    raw: str
    columns: tuple[str, ...]
    arms: tuple[str, ...] = MAIN
    seeds: int = 20
    sizes: tuple[int, ...] = ()
    rare: str = ""
    folder: str = ""
    looped: bool = False

    def shortened(self) -> "Case":
        """Return the same with three rounds, to see that it runs."""
        return replace(self, most=self.start + 3 * self.batch, sizes=self.sizes[:1])


@dataclass(frozen=True)
class Arm:
    """Which records are labelled first, which in every round, and what the model has to give for that."""

    start: Selector
    select: Selector
    embed: str = ""
    columns: tuple[str, ...] = ()


def arms(case: Case) -> dict[str, Arm]:
    """Return every arm of a case."""
    k = case.batch
    first = unlabeled.sample(case.start)
    typical, centers = unlabeled.typical(case.start, by=case.near), unlabeled.centers(case.start, by=case.near)
    near = (case.near,)
    # spread over what the model learned, or over the frozen vectors: then it need not be asked for embeddings
    told = "learned" if case.spread == "embeddings" else ""
    of = () if told else (case.spread,)
    by_cluster = unlabeled.cluster_margin(k, within=10 * k, by=case.spread)
    mixture = 0.8 * unlabeled.top(k, by=margin()) | 0.2 * unlabeled.sample(k)
    found = {
        BASE: Arm(first, unlabeled.sample(k)),
        "margin": Arm(first, unlabeled.top(k, by=margin())),
        "entropy": Arm(first, unlabeled.top(k, by=entropy())),
        "least confident": Arm(first, unlabeled.top(k, by=least_confident())),
        "typical, then margin": Arm(typical, unlabeled.top(k, by=margin()), columns=near),
        "centers, then margin": Arm(centers, unlabeled.top(k, by=margin()), columns=near),
        "typical, then cluster-margin": Arm(typical, by_cluster, told, (*near, *of)),
        "typical, then cluster-margin of 3 k": Arm(
            typical, unlabeled.cluster_margin(k, by=case.spread), told, (*near, *of)
        ),
        "cluster-margin": Arm(first, by_cluster, told, of),
        "BADGE": Arm(first, unlabeled.badge(k), "read", near),
        "margin, diverse": Arm(first, unlabeled.top(5 * k, by=margin()).diverse(k, by=case.spread), told, of),
        "margin 80 %, random 20 %": Arm(first, mixture.first(k)),
        "k-center, learned": Arm(first, unlabeled.diverse(k), "learned"),
        "k-center, raw": Arm(first, unlabeled.diverse(k, by=case.raw), columns=(case.raw,)),
        "covering": Arm(first, unlabeled.covering(k, by=case.near), columns=near),
    }
    return {name: found[name] for name in case.arms}


def starts(case: Case, k: int) -> dict[str, Selector]:
    """Return the ways to choose k first records, before there is any model."""
    return {
        "random": unlabeled.sample(k),
        "typical": unlabeled.typical(k, by=case.near),
        "centers": unlabeled.centers(k, by=case.near),
        "covering": unlabeled.covering(k, by=case.near),
        "k-center": unlabeled.diverse(k, by=case.near),
    }


def _of_digits(embed: str) -> Model:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    if embed == "read":
        return SklearnModel(pipeline, features="x", embed="standardscaler")
    model = SklearnModel(pipeline, features="x")
    return Embedded(model) if embed else model


def _of_text(embed: str) -> Model:
    # newton-cg: the same optimum as the default solver, in a sixth of its time on TREC
    model = SklearnModel(
        make_pipeline(TfidfVectorizer(token_pattern=WORD), LogisticRegression(C=10, solver="newton-cg", max_iter=300)),
        features="text",
    )
    return Embedded(model, "lsa" if embed == "read" else "") if embed else model


def _of_fashion(embed: str) -> Model:
    # small batches and a set number of epochs: with a hundred labels it is trained through as well as with a thousand
    mlp = MLPClassifier(
        (128,), alpha=1e-3, batch_size=64, learning_rate_init=5e-3, max_iter=30, tol=0.0, n_iter_no_change=30
    )
    return SklearnModel(make_pipeline(StandardScaler(), mlp), features="x", embed="mlpclassifier" if embed else None)


def _digits(title: str, draw: Callable[[Path, int], Drawn] = digits, **other: object) -> Case:
    told = {"start": 10, "batch": 10, "most": 250} | other
    return Case(title, draw, _of_digits, near="x", spread="x", raw="x", columns=("x",), **told)  # type: ignore[arg-type]


CASES: dict[str, Case] = {
    "digits": _digits("digits, 10 a round", sizes=(10, 20, 50)),
    "digits_small": _digits(
        "digits, 5 a round",
        start=20,
        batch=5,
        arms=(BASE, "typical, then margin", "typical, then cluster-margin of 3 k"),
        looped=True,
    ),
    "digits_large": _digits("digits, 80 a round", batch=80, most=330, arms=FEWER, seeds=10),
    "digits_rare": _digits("digits, two rare classes", digits_rare, arms=FEWER, rare="8", seeds=10),
    "digits_junk": _digits("digits, a quarter of the pool unreadable", digits_junk, arms=FEWER, seeds=10),
    "trec": Case(
        "TREC, 200 a round",
        trec,
        _of_text,
        start=50,
        batch=200,
        most=2250,
        near="lsa",
        spread="lsa",
        raw="words",
        columns=("text",),
        arms=FEWER,
        sizes=(12, 50, 100),
        rare="ABBR",
        folder="trec",
        looped=True,
    ),
    "fashion": Case(
        "Fashion-MNIST, 150 a round",
        fashion,
        _of_fashion,
        start=50,
        batch=150,
        most=1550,
        near="x",
        spread="embeddings",
        raw="pixels",
        columns=("x",),
        arms=FEWER,
        seeds=5,
        sizes=(10, 50, 100),
        folder="fashion_mnist",
    ),
    "banking77": Case(
        "banking77, 500 a round",
        banking77,
        _of_text,
        start=250,
        batch=500,
        most=4750,
        near="lsa",
        spread="lsa",
        raw="words",
        columns=("text",),
        arms=FEWER,
        seeds=5,
        sizes=(77, 250, 500),
        folder="banking77",
        looped=True,
    ),
}
