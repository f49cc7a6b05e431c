"""The patterns, each run small on real digits: what it does to the data, and what it says to bad input."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from tilth import (
    Dataset,
    Gate,
    Interpolation,
    Oracle,
    Panel,
    ParquetFolder,
    Record,
    Rule,
    Team,
    Workflow,
    accuracy,
    annotate,
    augment,
    confidence_shift,
    disagrees_with_model,
    ingest,
    label_quality,
    labeled,
    labels_spent,
    margin,
    records,
    relabel,
    remove,
    rmse,
    rounds,
    run,
    unlabeled,
)
from tilth.demo.arms import base_model
from tilth.demo.data import digits
from tilth.errors import Parked, RunFailed, UsageError
from tilth.integrations.optuna import OptunaSearch
from tilth.integrations.sklearn import SklearnModel
from tilth.metrics import labeled_count, stability
from tilth.patterns import (
    active_learning,
    cleaning,
    curation,
    data_centric,
    dataprepops,
    drift_repair,
    model_centric,
    observability,
    plateau,
    stable,
    synthetic_generation,
    validated_active_learning,
)
from tilth.protocols import Trial
from tilth.runs.home import inbox_of
from tilth.runs.schedule import repeat, tick
from tilth.testing.people import answer_open, from_column
from tilth.tuning import Tune

ORACLE = Oracle("truth")
MODEL = SklearnModel(base_model())
PROBE = SklearnModel(KNeighborsClassifier(10))
"""Quicker than the default, and as good on digits."""

ALL = {"train": 1.0, "valid": 0.0, "test": 0.0}
"""Splits of what comes in."""


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return digits(tmp_path / "digits", seed=0)


@pytest.fixture
def unlabelled(tmp_path: Path) -> Dataset:
    """Digits of which no training record has a label."""
    return digits(tmp_path / "unlabelled", seed=0, share=0.0)


def strengths(trial: Any) -> SklearnModel:
    return SklearnModel(LogisticRegression(C=trial.suggest_float("C", 1e-3, 1, log=True), max_iter=1000))


def no_model(trial: Any) -> Any:
    return LogisticRegression(C=trial.suggest_float("C", 1e-4, 10))


def no_choice(trial: Any) -> SklearnModel:
    return SklearnModel(LogisticRegression(max_iter=100))


def broken(trial: Any) -> SklearnModel:
    raise ValueError("no such space")


def shift(record: Record) -> Record:
    return record.change(pixels=np.roll(record["pixels"].reshape(8, 8), 1, axis=1).ravel())


def wrong_labels(dataset: Dataset) -> int:
    """Count the training labels that are not the truth."""
    view = dataset.view
    ids = np.flatnonzero(view.train & view.labeled)
    truth = np.array([int(t) for t in dataset.features(ids, ["truth"])["truth"].to_pylist()])
    return int((view.label[ids] != truth).sum())


# -- the model changes, the data stand still ---------------------------------------------------------------------------


def test_tuning_leaves_the_data_as_they_are_and_ends_with_the_best(dataset: Dataset) -> None:
    before = dataset.digest()
    done = run(model_centric(dataset, MODEL, tune=OptunaSearch(strengths, startup=3), trials=7), inline=True)
    assert dataset.digest() == before
    assert dataset.version == 0
    assert done.state == "done"
    assert len(done.rounds) == 7
    values = [r.tuned["value"] for r in done.rounds]
    assert done.rounds[0].tuned["model"] == repr(MODEL)
    assert len({r.model for r in done.rounds}) == 7
    outcome = next(s["result"] for s in done.steps if s["key"] == "outcome")
    best = int(np.argmax(values))
    assert outcome["model"] == done.rounds[best].model == done.best.model
    assert f"best of 7 models, in round {best}: {done.rounds[best].tuned['said']}" in done.why


def test_tuning_is_the_same_every_time(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        flow = model_centric(digits(tmp_path / name, seed=0), MODEL, tune=OptunaSearch(strengths), trials=5)
        found.append([r.tuned for r in run(Workflow.from_json(flow.to_json()), inline=True).rounds])
    assert found[0] == found[1]


def test_a_suggestion_follows_from_what_was_tried() -> None:
    search = OptunaSearch(strengths, startup=2)
    tried = [Trial(MODEL, 0.5, {})]
    for value in (0.9, float("nan"), 0.7, 0.8):
        model, note = search.suggest(tried, seed=3)
        assert search.suggest(tried, seed=3)[1] == note
        assert search.suggest(tried, seed=4)[1] != note
        tried.append(Trial(model, value, note))
    assert OptunaSearch.from_spec(search.spec).suggest(tried, seed=3)[1] == search.suggest(tried, seed=3)[1]


def test_data_and_model_can_change_in_turn(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.top(20, by=margin()), do=annotate(by=ORACLE))
    tune = Tune(OptunaSearch(strengths), improves=accuracy())
    flow = Workflow(dataset=dataset, model=MODEL, rules={"ask": ask}, until=rounds() >= 3, tune=tune)
    done = run(flow, inline=True)
    assert [r.labels_spent for r in done.rounds] == [0, 20, 40, 60]
    assert len({r.tuned["model"] for r in done.rounds}) == 4
    assert "tune=Tune(OptunaSearch(strengths))" in repr(flow)
    assert "OptunaSearch(strengths)" in flow._repr_html_()


@pytest.mark.parametrize(("space", "said"), [(no_model, "SklearnModel"), (no_choice, "makes no choice")])
def test_a_space_that_is_none_is_refused(dataset: Dataset, space: Any, said: str) -> None:
    with pytest.raises(RunFailed, match=said):
        run(model_centric(dataset, MODEL, tune=OptunaSearch(space), trials=3), inline=True)
    assert dataset.version == 0


def test_a_space_that_fails_parks_the_run_with_the_reason(dataset: Dataset) -> None:
    with pytest.raises(RunFailed, match="no such space"):
        run(model_centric(dataset, MODEL, tune=OptunaSearch(broken), trials=3), inline=True)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: OptunaSearch(lambda _: MODEL), "lambda"),
        (lambda: OptunaSearch("svm"), "a function from an optuna.Trial"),  # pyright: ignore[reportArgumentType]
        (lambda: OptunaSearch(strengths, startup=0), "startup"),
        (lambda: Tune("optuna"), "who suggests the next model"),  # pyright: ignore[reportArgumentType]
        (lambda: Tune(OptunaSearch(strengths), improves=margin()), "a metric such as accuracy"),
    ],
)
def test_bad_tuning_is_told(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


# -- the data change ---------------------------------------------------------------------------------------------------


def test_data_centric_runs_its_rules_and_leaves_the_model(dataset: Dataset) -> None:
    wrong = wrong_labels(dataset)
    doubtful = labeled.where(label_quality() < 0.2)
    rules = {"fix": Rule(select=doubtful, do=relabel(by="probe"))}
    done = run(data_centric(dataset, MODEL, rules=rules, probe=PROBE, until=rounds() >= 2), inline=True)
    assert wrong_labels(dataset) < 0.6 * wrong
    assert {r.tuned == {} for r in done.rounds} == {True}


def test_dataprepops_takes_any_which_with_any_what(dataset: Dataset) -> None:
    eights = records.where(label="8")
    flow = dataprepops(dataset, MODEL, which=eights, what=augment(shift), until=rounds() >= 1)
    assert list(flow.rules) == ["augment"]
    run(flow, inline=True)
    added = np.flatnonzero(dataset.parent >= 0)
    assert len(added)
    assert {int(dataset.view.label[i]) for i in added} == {8}
    gone = dataprepops(dataset, MODEL, which=eights.sample(3), what=remove(), when=accuracy() < 1, until=rounds() >= 1)
    before = int(dataset.view.train.sum())
    run(gone, inline=True)
    assert int(dataset.view.train.sum()) <= before - 3


def test_active_learning_begins_with_nothing(unlabelled: Dataset) -> None:
    flow = active_learning(unlabelled, MODEL, by=ORACLE, budget=90, batch=30)
    done = run(flow, inline=True)
    assert [r.labels_spent for r in done.rounds] == [30, 60, 90]
    assert done.rounds[0].rules["start"]["n"] == 30
    assert done.rounds[0].rules["ask"]["n"] == 30
    assert done.rounds[-1].metrics["accuracy()"] > 0.7
    log = unlabelled.log()
    assert [c.rule for c in log[1:]] == ["start", "ask", "ask"]


def test_people_are_asked_before_there_is_a_model(unlabelled: Dataset) -> None:
    flow = active_learning(unlabelled, MODEL, by=Team("crowd"), budget=20, batch=20)
    for _ in range(2):  # started again it waits for the same
        with pytest.raises(Parked, match="20 questions"):
            run(flow, inline=True, wait=False)
    assert unlabelled.version == 1
    answer_open(inbox_of(unlabelled.path), "ann", from_column("truth"), team="crowd")
    done = run(flow, inline=True, wait=False)
    assert done.state == "done"
    assert done.rounds[0].labels_spent == 20


def test_a_rule_that_reads_the_model_does_not_go_before_it(unlabelled: Dataset) -> None:
    ask = Rule(select=unlabeled.top(20, by=margin()), do=annotate(by=ORACLE))
    with pytest.raises(RunFailed, match="no labelled record"):
        run(Workflow(dataset=unlabelled, model=MODEL, rules={"ask": ask}, until=rounds() >= 1), inline=True)
    assert unlabelled.version == 0


def test_active_learning_takes_clusters_where_the_model_embeds(dataset: Dataset) -> None:
    deep = SklearnModel(base_model(), embed="standardscaler")
    assert repr(active_learning(dataset, deep, by=ORACLE, budget=50).rules["ask"].select) == (
        "unlabeled.cluster_margin(5)"
    )
    plain = active_learning(dataset, MODEL, by=ORACLE, budget=50)  # then by the column that tells what is near
    assert repr(plain.rules["ask"].select) == 'unlabeled.cluster_margin(5, by="pixels")'
    own = active_learning(dataset, deep, by=ORACLE, budget=50, select=unlabeled.sample(7))
    assert repr(own.rules["ask"].select) == "unlabeled.sample(7)"


def test_it_stops_when_nothing_changes_any_more(dataset: Dataset) -> None:
    flow = active_learning(dataset, MODEL, by=ORACLE, budget=500, batch=10, stop=stable(0.8, over=2))
    done = run(flow, inline=True)
    assert done.rounds[-1].labels_spent < 500
    assert "stability() = " in done.why
    late = active_learning(dataset, MODEL, by=ORACLE, budget=500, batch=10, stop=plateau(over=1, by=1.0))
    assert "gain(accuracy()) = " in run(late, inline=True).why


def test_stability_is_the_kappa_of_two_rounds(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.top(40, by=margin()), do=annotate(by=ORACLE))
    report = (accuracy(), stability(), stability(over=2))
    flow = Workflow(dataset=dataset, model=MODEL, rules={"ask": ask}, until=rounds() >= 2, report=report)
    done = run(flow, inline=True)
    said = [[r.metrics["stability()"], r.metrics["stability(over=2)"]] for r in done.rounds]
    assert np.isnan(said[0]).all()
    assert np.isnan(said[1][1])
    first, last = done.rounds[1], done.rounds[2]
    then = flow.state(first.version, first.model).predicted
    now = flow.state(last.version, last.model).predicted
    train = flow.state(last.version, last.model).view.train
    table = np.zeros((10, 10))
    np.add.at(table, (then[train], now[train]), 1)
    table /= table.sum()
    chance = float(table.sum(axis=0) @ table.sum(axis=1))
    assert said[2][0] == pytest.approx((np.trace(table) - chance) / (1 - chance))


def test_validated_active_learning_asks_twice_where_the_model_disagrees(dataset: Dataset) -> None:
    crowd = tuple(Oracle("truth", error=0.3, name=n, seed=i) for i, n in enumerate(("ann", "ben", "cid")))
    panel = Panel(crowd, check=disagrees_with_model(), disputed_by=Oracle("truth", name="expert"))
    flow = validated_active_learning(dataset, MODEL, by=panel, budget=120, batch=40, probe=PROBE)
    wrong = wrong_labels(dataset)
    done = run(flow, inline=True)
    ask = done.rounds[0].rules["ask"]
    assert ask["answers"] > ask["n"]
    assert done.rounds[0].rules["recheck"]["n"] > 0
    assert wrong_labels(dataset) < wrong
    assert done.rounds[-1].labels_spent >= 120


def test_a_panel_that_checks_against_the_model_begins_without_one(unlabelled: Dataset) -> None:
    panel = Panel((ORACLE, Oracle("truth", name="other")), check=disagrees_with_model())
    done = run(validated_active_learning(unlabelled, MODEL, by=panel, budget=60, batch=30, probe=PROBE), inline=True)
    assert done.rounds[0].rules["start"]["answers"] == 30
    assert done.rounds[-1].labels_spent >= 60


def test_cleaning_repairs_labels_and_keeps_only_what_helped(dataset: Dataset) -> None:
    wrong = wrong_labels(dataset)
    done = run(cleaning(dataset, MODEL, probe=PROBE, until=rounds() >= 3), inline=True)
    assert wrong_labels(dataset) < 0.7 * wrong
    for r in done.rounds[:-1]:
        fix = r.rules["fix"]
        if "kept" in fix:
            assert fix["kept"] == (fix["after"] >= fix["before"])


def test_cleaning_doubts_as_many_as_are_estimated_to_be_wrong_and_those_below_a_number(dataset: Dataset) -> None:
    assert "where(label_issue() > 0)" in repr(cleaning(dataset, MODEL, below=None).rules["fix"].select)
    own = cleaning(dataset, MODEL, by="model", below=0.3).rules["fix"].select
    assert 'where((label_issue(by="model") > 0) | (label_quality(by="model") < 0.3))' in repr(own)
    usual = cleaning(dataset, MODEL).rules["fix"].select
    assert "where((label_issue() > 0) | (label_quality() < 0.3))" in repr(usual)


def test_cleaning_does_not_ask_again_about_what_a_person_settled(dataset: Dataset) -> None:
    flow = cleaning(dataset, MODEL, by=ORACLE, batch=40, probe=PROBE, until=rounds() >= 3)
    done = run(flow, inline=True)
    assert [r.rules["fix"]["answers"] for r in done.rounds[:2]] == [40, 40]


def test_cleaning_by_people_never_takes_back_what_they_said(dataset: Dataset) -> None:
    flow = cleaning(dataset, MODEL, by=ORACLE, batch=40, probe=PROBE, until=rounds() >= 2)
    assert flow.rules["fix"].gate == Gate(by=0.0, rejected="hold")
    run(flow, inline=True)
    assert int((dataset.view.asked == 2).sum()) > 40


def test_curation_takes_out_what_does_harm(dataset: Dataset) -> None:
    done = run(curation(dataset, MODEL, until=rounds() >= 1), inline=True)
    assert set(done.rounds[0].rules) == {"weed", "trim", "drop", "weigh"}
    for said in done.rounds[0].rules.values():
        if "kept" in said:
            assert said["kept"] == (said["after"] >= said["before"])
    only = curation(dataset, MODEL, duplicates=None, outliers=None, low_value=None)
    assert list(only.rules) == ["weigh"]
    run(only, inline=True)
    weights = dataset.at(1).view.weight if dataset.version else dataset.view.weight
    assert (weights >= 0).all()


# -- records are made, records keep coming -----------------------------------------------------------------------------


def test_synthetic_generation_makes_more_of_what_the_model_gets_wrong(dataset: Dataset) -> None:
    flow = synthetic_generation(dataset, MODEL, by=Interpolation(), batch=30, until=rounds() >= 1)
    done = run(flow, inline=True)
    grow = done.rounds[0].rules["grow"]
    assert "accepted" in grow["why"]
    made = np.flatnonzero(dataset.parent >= 0)
    assert 0 < len(made) <= 30
    assert set(dataset.view.split[made].tolist()) == {0}
    if not grow["kept"]:
        assert not dataset.view.alive[made].any()


def rubbish(want: Any, exemplars: pa.Table, n: int, seed: int) -> Any:
    return pa.table({"pixels": ["not a vector"] * n})


def raising(want: Any, exemplars: pa.Table, n: int, seed: int) -> Any:
    raise RuntimeError("out of ideas")


@pytest.mark.parametrize(("by", "said"), [(rubbish, "rubbish"), (raising, "out of ideas")])
def test_a_generator_that_fails_leaves_the_data(by: Any, said: str, dataset: Dataset) -> None:
    with pytest.raises(RunFailed, match=said):
        run(synthetic_generation(dataset, MODEL, by=by, batch=5), inline=True)
    assert dataset.version == 0


def streamed(dataset: Dataset, folder: Path, *, n: int, shift: float) -> None:
    """Let records come in that are like the training records, but for a shift of all pixels."""
    ids = np.flatnonzero(dataset.view.train)[:n]
    table = dataset.features(ids, ["pixels", "truth"])
    pixels = table["pixels"].combine_chunks().flatten().to_numpy() + np.float32(shift)
    column = pa.FixedSizeListArray.from_arrays(pa.array(pixels), 64)
    folder.mkdir(exist_ok=True)
    pq.write_table(
        pa.table({"pixels": column, "truth": table["truth"]}), folder / f"{len(list(folder.iterdir()))}.parquet"
    )


@pytest.mark.parametrize("pattern", [observability, drift_repair])
def test_a_stream_is_watched_and_labelled_when_it_has_drifted(
    pattern: Callable[..., Workflow], dataset: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    flow = pattern(
        dataset, MODEL, source=ParquetFolder(folder), by=ORACLE, budget=20, every="0.001s", ingesting={"splits": ALL}
    )
    run(flow, inline=True)
    entered: list[str] = []

    def go() -> Any:
        done = run(flow, inline=True)
        entered.append(done.name)
        return done

    held = int((dataset.view.train & dataset.view.labeled).sum())
    spent = dataset.view.labels_spent
    streamed(dataset, folder, n=60, shift=0.5)
    while not entered:  # until the next look is due
        repeat(flow, go, told=lambda _: None, wait=False)
    assert dataset.view.labels_spent == spent + 20
    assert int((dataset.view.train & dataset.view.labeled).sum()) == held + (20 if pattern is observability else 0)


def test_an_empty_stream_changes_nothing_and_one_that_goes_back_is_told(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    flow = observability(dataset, MODEL, source=ParquetFolder(folder), ingesting={"splits": ALL, "limit": 30})
    assert run(flow, inline=True).state == "done"
    assert dataset.version == 0
    streamed(dataset, folder, n=40, shift=0.0)
    run(flow, inline=True)
    came = dataset.version
    pq.write_table(pq.read_table(folder / "0.parquet").slice(0, 10), folder / "0.parquet")  # 30 were read
    with pytest.raises(RunFailed, match="backward"):
        run(flow, inline=True)
    assert dataset.version == came


# -- bad input ---------------------------------------------------------------------------------------------------------


def one_class(path: Path) -> Dataset:
    rows = pa.table({"key": ["a", "b", "c"], "x": [1.0, 2.0, 3.0], "label": ["cat", "cat", None]})
    return Dataset.create(path, rows, key="key", label="label", classes=["cat"])


PATTERNS: dict[str, Callable[[Dataset], Any]] = {
    "model_centric": lambda d: model_centric(d, MODEL, tune=OptunaSearch(strengths)),
    "data_centric": lambda d: data_centric(d, MODEL, rules={"a": Rule(select=records.sample(1), do=remove())}),
    "dataprepops": lambda d: dataprepops(d, MODEL, which=records.sample(1), what=remove()),
    "active_learning": lambda d: active_learning(d, MODEL, by=ORACLE, budget=10),
    "validated_active_learning": lambda d: validated_active_learning(d, MODEL, by=Panel(ORACLE), budget=10),
    "cleaning": lambda d: cleaning(d, MODEL),
    "curation": lambda d: curation(d, MODEL),
    "synthetic_generation": lambda d: synthetic_generation(d, MODEL, by=Interpolation()),
    "observability": lambda d: observability(d, MODEL, source=ParquetFolder("incoming")),
    "drift_repair": lambda d: drift_repair(d, MODEL, source=ParquetFolder("incoming"), by=ORACLE),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_one_class_and_no_dataset_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fewer than two classes"):
        PATTERNS[name](one_class(tmp_path / "one"))
    with pytest.raises(UsageError, match="a Dataset first"):
        PATTERNS[name]("digits")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["model_centric", "cleaning", "curation", "synthetic_generation"])
def test_what_judges_needs_labels(name: str, unlabelled: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has a label yet"):
        PATTERNS[name](unlabelled)
    rows = pa.table({"key": ["a", "b"], "x": [1.0, 2.0], "label": ["cat", "dog"], "split": ["train", "train"]})
    held = Dataset.create(tmp_path / "held", rows, key="key", label="label", split="split")
    with pytest.raises(UsageError, match="judged on the valid split"):
        PATTERNS[name](held)


@pytest.mark.parametrize("name", ["active_learning", "validated_active_learning"])
def test_asking_needs_a_pool(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no unlabelled record"):
        PATTERNS[name](digits(tmp_path / "full", seed=0, share=1.0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda d: data_centric(d, MODEL, rules={}), "at least one rule"),
        (lambda d: dataprepops(d, MODEL, which=records, what="remove"), "an action, such as remove"),
        (lambda d: dataprepops(d, MODEL, which="cats", what=remove()), "a selector"),
        (lambda d: active_learning(d, MODEL, by=ORACLE, budget=0), r"budget=...\) is a whole number of 1 or more"),
        (lambda d: active_learning(d, MODEL, by=ORACLE, budget=10, batch=-1), "batch"),
        (lambda d: active_learning(d, MODEL, by=ORACLE, budget=10, start=0), "start"),
        (lambda d: active_learning(d, MODEL, by=ORACLE, budget=10, select=margin()), "a selector, such as"),
        (lambda d: active_learning(d, MODEL, by="ann", budget=10), "by is an annotator"),
        (lambda d: validated_active_learning(d, MODEL, by=ORACLE, budget=10), "Panel"),
        (lambda d: cleaning(d, MODEL, below=1.5), "a probability above 0"),
        (lambda d: cleaning(d, MODEL, batch=1.5), "a share between 0 and 1"),
        (lambda d: cleaning(d, MODEL, by="nobody"), "by is an annotator"),
        (lambda d: curation(d, MODEL, duplicates=None, outliers=None, low_value=None, balance=False), "left out"),
        (lambda d: curation(d, MODEL, outliers=0), "outliers"),
        (lambda d: synthetic_generation(d, MODEL, by="smote"), "generator"),
        (lambda d: synthetic_generation(d, MODEL, by=Interpolation(), batch=0), "batch"),
        (lambda d: observability(d, MODEL, source="incoming"), "a source such as"),
        (lambda d: observability(d, MODEL, source=ParquetFolder("in"), every="often"), "no length of time"),
        (lambda d: drift_repair(d, MODEL, source=ParquetFolder("in"), by="lab"), "by is an annotator"),
        (lambda d: model_centric(d, MODEL, tune=MODEL), "who suggests the next model"),
        (lambda d: model_centric(d, MODEL, tune=OptunaSearch(strengths), trials=0), "trials"),
        (lambda d: model_centric(d, MODEL, tune=OptunaSearch(strengths), improves=rmse()), "number"),
    ],
)
def test_bad_input_is_told_and_leaves_the_data(make: Callable[[Dataset], Any], said: str, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=said):
        make(dataset)
    assert dataset.version == 0


def test_the_options_of_a_workflow_are_passed_on(dataset: Dataset) -> None:
    flow = cleaning(dataset, MODEL, seed=7, name="clean", report=(accuracy(), labels_spent()), every="1h")
    assert (flow.seed, flow.name, flow.every) == (7, "clean", "1h")
    assert repr(flow.report) == "(accuracy(), labels_spent())"
    assert repr(active_learning(dataset, MODEL, by=ORACLE, budget=9, stop=labeled_count() > 5).until) == (
        "(labels_spent() >= 9) | (labeled_count() > 5)"
    )


def test_a_schedule_looks_with_the_best_model(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    flow = Workflow(
        dataset=dataset,
        model=MODEL,
        rules={"arrive": Rule(do=ingest(ParquetFolder(folder), splits=ALL))},
        until=rounds() >= 3,
        tune=Tune(OptunaSearch(strengths, startup=3)),
        every="0.001s",
        trigger=confidence_shift() < 0.01,
    )
    done = run(flow, inline=True)
    streamed(dataset, folder, n=60, shift=0.5)
    looks: list[Mapping[str, Any]] = []
    while not looks:  # until the next look is due
        found = tick(flow)
        looks += [] if found is None else [found]
    assert looks[0]["brought"]["arrive"]["n"] == 60
    assert looks[0]["model"] == done.best.model != done.rounds[-1].model
    assert 0 < looks[0]["metrics"]["confidence_shift()"] <= 1
