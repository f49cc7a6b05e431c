"""The loop on real parts: a real store, a real model, the oracle."""

from pathlib import Path

import numpy as np
import pytest

from tilth import (
    Dataset,
    Gate,
    Oracle,
    Record,
    Rule,
    Workflow,
    accuracy,
    annotate,
    augment,
    label_quality,
    labeled,
    labels_spent,
    margin,
    modify,
    recall,
    records,
    relabel,
    remove,
    removed,
    restore,
    reweight,
    rounds,
    run,
    unlabeled,
)
from tilth.algebra import Condition
from tilth.demo.arms import base_model
from tilth.demo.data import digits
from tilth.errors import HeldOut, RunFailed, UsageError
from tilth.integrations.sklearn import SklearnModel
from tilth.outputs import Outputs


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return digits(tmp_path / "digits", seed=0)


def model() -> SklearnModel:
    return SklearnModel(base_model())


def shift(record: Record) -> Record:
    """Move the picture one pixel to the right."""
    return record.change(pixels=np.roll(record["pixels"].reshape(8, 8), 1, axis=1).ravel())


def broken(record: Record) -> Record:
    raise ValueError("no such pixel")


def blank(record: Record) -> Record:
    return record.change(pixels=np.zeros(64, np.float32))


def flow(dataset: Dataset, until: Condition, **rules: Rule) -> Workflow:
    return Workflow(dataset=dataset, model=model(), rules=rules, until=until)


ORACLE = Oracle("truth")


def test_asking_labels_the_records_that_were_chosen_and_counts_them(dataset: Dataset) -> None:
    pool = int(dataset.view.pool.sum())
    done = run(
        flow(dataset, rounds() >= 2, ask=Rule(select=unlabeled.top(20, by=margin()), do=annotate(by=ORACLE))),
        inline=True,
    )
    assert done.state == "done"
    assert [r.labels_spent for r in done.rounds] == [0, 20, 40]
    assert int(dataset.view.pool.sum()) == pool - 40
    asked = np.flatnonzero(dataset.view.asked == 2)
    assert len(asked) == 40
    truth = dataset.features(asked, ["truth"])["truth"].to_pylist()
    assert dataset.labels(asked) == truth
    story = dataset.history(dataset.keys(asked[:1])[0])
    assert [e.what for e in story] == ["added", "asked", "answered", "label"]
    assert story[1].signal == "margin()"
    assert story[1].rule == "ask"


def test_rechecked_records_are_not_asked_about_again(dataset: Dataset) -> None:
    rule = Rule(select=labeled.bottom(25, by=label_quality()), do=relabel(by=ORACLE))
    done = run(flow(dataset, rounds() >= 3, fix=rule), inline=True)
    assert done.rounds[-1].labels_spent <= 75
    assert int((dataset.view.asked == 2).sum()) == done.rounds[-1].labels_spent


def test_every_round_ends_in_the_same_data_when_run_twice_from_the_same_start(tmp_path: Path) -> None:
    digests: list[str] = []
    for name in ("a", "b"):
        data = digits(tmp_path / name, seed=1)
        rules = {
            "fix": Rule(select=labeled.bottom(15, by=label_quality()), do=relabel(by=ORACLE)),
            "ask": Rule(select=unlabeled.sample(15), do=annotate(by=ORACLE)),
        }
        run(flow(data, rounds() >= 2, **rules), inline=True)
        digests.append(data.digest())
    assert digests[0] == digests[1]


def test_the_first_model_and_the_one_that_a_run_ends_with_are_saved(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.top(20, by=margin()), do=annotate(by=ORACLE), gate=Gate(by=-1.0, rejected="hold"))
    done = run(flow(dataset, rounds() >= 2, ask=ask), inline=True)
    last = done.rounds[-1]
    saved = {folder.parent.name for folder in (dataset.path / "outputs").glob("*/model")}
    assert len({r.model for r in done.rounds}) == 3
    assert saved == {done.rounds[0].model, last.model}
    fitted = model().load(dataset.path / "outputs" / last.model / "model", task=dataset.schema.label.task)
    at, outputs = dataset.at(last.version), Outputs(dataset.path / "outputs" / last.model)
    told = fitted.predict(at.features(outputs.ids, at.schema.features))
    np.testing.assert_allclose(told.T, outputs.get("probabilities"), atol=1e-6)


def test_a_gate_undoes_what_harms(dataset: Dataset) -> None:
    before = dataset.digest()
    harm = Rule(select=labeled.sample(300), do=remove(), gate=Gate(by=0.5))
    done = run(flow(dataset, rounds() >= 3, harm=harm), inline=True)
    assert dataset.digest() == before
    assert done.rounds[0].rules["harm"]["kept"] is False
    assert "rests" in done.rounds[1].rules["harm"]["why"]
    last = dataset.log()[-1]
    assert "rejected" in last.message


def test_a_held_rejection_keeps_answers_and_sets_labels_back(dataset: Dataset) -> None:
    labels = dataset.labels()
    ask = Rule(select=labeled.bottom(30, by=label_quality()), do=relabel(by=ORACLE), gate=Gate(by=0.9, rejected="hold"))
    run(flow(dataset, rounds() >= 1, ask=ask), inline=True)
    assert dataset.labels() == labels
    assert dataset.view.labels_spent == 30


def test_a_gate_that_would_take_answers_back_is_refused_when_written() -> None:
    with pytest.raises(UsageError, match="hold"):
        Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=ORACLE), gate=Gate())


def test_augmenting_adds_each_record_once_and_only_from_the_chosen(dataset: Dataset) -> None:
    rule = Rule(select=labeled.where(label="3"), do=augment(shift))
    threes = int((dataset.view.train & (dataset.view.label == 3)).sum())
    before = len(dataset)
    run(flow(dataset, rounds() >= 3, shift=rule), inline=True)
    assert len(dataset) == before + threes
    new = np.flatnonzero(dataset.parent >= 0)
    assert len(new) == threes
    assert set(dataset.labels(new)) == {"3"}
    source = dataset.features(dataset.parent[new[:1]], ["pixels"])["pixels"].to_pylist()[0]
    made = dataset.features(new[:1], ["pixels"])["pixels"].to_pylist()[0]
    assert np.array_equal(np.roll(np.reshape(source, (8, 8)), 1, axis=1).ravel(), np.array(made, np.float32))


def test_a_condition_on_the_whole_state_decides_whether_a_rule_fires(dataset: Dataset) -> None:
    never = Rule(when=recall("3") < 0.0, select=records, do=remove())
    done = run(flow(dataset, rounds() >= 1, never=never), inline=True)
    assert len(dataset.log()) == 1
    assert "not when" in done.rounds[0].rules["never"]["why"]


def test_a_run_ends_when_no_rule_has_anything_left(dataset: Dataset) -> None:
    done = run(
        flow(dataset, accuracy() > 2.0, none=Rule(select=labeled.where(label_quality() < -1), do=remove())), inline=True
    )
    assert done.why == "no rule has anything left to change"


def test_removing_restoring_reweighting_and_modifying_reach_the_data(dataset: Dataset) -> None:
    size = len(dataset)
    run(flow(dataset, rounds() >= 1, weed=Rule(select=records.sample(10), do=remove())), inline=True)
    assert len(dataset) == size - 10
    run(flow(dataset, rounds() >= 1, back=Rule(select=removed.sample(4), do=restore())), inline=True)
    assert len(dataset) == size - 6
    run(flow(dataset, rounds() >= 1, weigh=Rule(select=labeled.sample(5), do=reweight(0.25))), inline=True)
    assert int((dataset.view.weight == 0.25).sum()) == 5
    run(flow(dataset, rounds() >= 1, wipe=Rule(select=labeled.sample(3), do=modify(blank))), inline=True)
    changed = np.flatnonzero(dataset.view.payload != np.arange(len(dataset.view)))
    assert len(changed) == 3
    assert not np.array(dataset.features(changed, ["pixels"])["pixels"].to_pylist()).any()


def test_a_failing_function_names_the_record_and_loses_nothing(dataset: Dataset) -> None:
    work = flow(dataset, rounds() >= 1, bad=Rule(select=labeled.sample(3), do=augment(broken)))
    with pytest.raises(RunFailed, match=r"broken failed on record 'digit-\d+': ValueError: no such pixel"):
        run(work, inline=True)
    assert len(dataset.log()) == 1


def test_an_edited_workflow_is_refused_until_adopted(dataset: Dataset) -> None:
    bad = flow(dataset, rounds() >= 1, bad=Rule(select=labeled.sample(3), do=augment(broken)))
    with pytest.raises(RunFailed, match="no such pixel"):
        run(bad, inline=True)
    good = flow(dataset, rounds() >= 1, bad=Rule(select=labeled.sample(3), do=augment(shift)))
    with pytest.raises(UsageError, match="rule 'bad'"):
        run(good, inline=True)
    done = run(good, inline=True, adopt=True)
    assert done.name == "run-1"
    assert int((dataset.parent >= 0).sum()) == 3


def test_held_out_splits_cannot_be_named() -> None:
    with pytest.raises(HeldOut, match="test"):
        records.where(split="test")


def test_a_workflow_goes_to_json_and_back(dataset: Dataset) -> None:
    rules = {
        "fix": Rule(
            when=(accuracy() < 0.9) & (labels_spent() < 100),
            select=labeled.where(label_quality() < 0.3, label=("3", "4")).bottom(10, by=label_quality()),
            do=relabel(by=ORACLE),
            gate=Gate(by=0.0, rejected="hold"),
        ),
        "shift": Rule(select=records.where(label="3") & labeled.sample(5), do=augment(shift)),
    }
    work = flow(dataset, (accuracy() >= 0.95) | (rounds() >= 2), **rules)
    again = Workflow.from_json(work.to_json())
    assert repr(again) == repr(work)
    assert again.spec_hash() == work.spec_hash()
    assert again.needs == {"probabilities", "probe_probabilities"}


def test_a_metric_of_the_wrong_kind_of_label_is_refused_when_written(dataset: Dataset) -> None:
    from tilth import rmse

    with pytest.raises(UsageError, match="until"):
        flow(dataset, rmse() < 1)
