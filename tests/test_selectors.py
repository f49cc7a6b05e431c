"""Selectors: what they choose, that they never choose what they must not, and what they say to mistakes."""

import functools
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.states import answer, ask, make_state, observed, past, set_label
from tilth.algebra import from_json, to_json
from tilth.changes import Changes, Op, events
from tilth.dataset import Dataset
from tilth.errors import HeldOut, NotData, NotFound, UsageError
from tilth.metrics import accuracy
from tilth.selectors import Chosen, Selector, answered, labeled, records, removed, unlabeled
from tilth.selectors.picked import Above, Picked, highest
from tilth.selectors.spread import farthest
from tilth.signals import column, confidence, duplicate, entropy, label_quality, margin, novelty, random, weight
from tilth.state import State

N = 120
CLASSES = ["bird", "cat", "dog"]


def content(n: int = N, *, seed: int = 0) -> dict[str, Any]:
    """Return what `make_state` takes; every value belongs to a key, so that rows can be put in any order."""
    chance = np.random.default_rng(seed)
    p = np.round(chance.dirichlet(np.ones(3), n), 1)  # many equal scores
    return {
        "keys": [f"k{i:04d}" for i in range(n)],
        "labels": [None if i % 3 == 0 else CLASSES[i % 7 % 3] for i in range(n)],
        "split": [("train", "train", "train", "valid", "test")[i % 5] for i in range(n)],
        "columns": {
            "x": np.where(np.arange(n) % 11 == 0, np.nan, chance.integers(0, 5, n)),
            "n": np.arange(n) % 4,
            "text": [f"t{i % 4}" for i in range(n)],
            "v": chance.normal(size=(n, 3)),
        },
        "probabilities": p,
        "probe_probabilities": p[::-1],
        "embeddings": chance.normal(size=(n, 4)),
    }


def rearranged(data: dict[str, Any], order: np.ndarray) -> dict[str, Any]:
    """Return the same records in another order, so with other ids."""

    def take(rows: Any) -> Any:
        return rows[order] if isinstance(rows, np.ndarray) else [rows[i] for i in order]

    return {k: {c: take(v) for c, v in rows.items()} if k == "columns" else take(rows) for k, rows in data.items()}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return make_state(tmp_path_factory.mktemp("selectors"), classes=CLASSES, **content())


@pytest.fixture(scope="module")
def other_order(tmp_path_factory: pytest.TempPathFactory) -> State:
    order = np.random.default_rng(5).permutation(N)
    return make_state(tmp_path_factory.mktemp("permuted"), classes=CLASSES, **rearranged(content(), order))


def keys(selector: Selector, state: State) -> list[str]:
    return state.dataset.keys(selector.choose(state).ids)


SELECTORS = [
    records,
    unlabeled,
    labeled,
    answered,
    removed,
    unlabeled.top(10, by=margin()),
    unlabeled.top(1000, by=entropy()),
    unlabeled.bottom(7, by=margin()),
    records.top(10, by=column("x")),
    records.where(label="cat"),
    records.where(label=("cat", "dog")),
    records.where(label=None),
    records.where(predicted="dog", split="train"),
    records.where(entropy() > 0.5, label="cat").top(3, by=label_quality()),
    records.where((entropy() > 0.5) & ~(margin() < 0.2)),
    records.where((entropy() > 0.5) | (accuracy() > 0.1)),
    records.where(text="t1", x=(1.0, 2.0)),
    records.where(x=None),
    records.where(x=(None, 3.0)),
    records.where(n=(1, 3)),
    records.where(key=("k0001", "k0002")),
    records.sample(10),
    unlabeled.where(margin() > 0.5).sample(5),
    unlabeled.sample(20).top(5, by=margin()),
    records.per("label", 3),
    records.per("predicted", 3, by=margin()),
    records.per("text", 2, by=column("x")),
    unlabeled.top(20, by=margin()).per("n", 2),
    unlabeled.diverse(8),
    unlabeled.top(20, by=margin()).diverse(5),
    unlabeled.diverse(5, within=10),
    records.diverse(5, by="v"),
    records.top(9, by=novelty(k=3)),
    records.where(duplicate() < 1).top(5, by=random()),
    labeled & records.where(predicted="cat"),
    unlabeled.top(5, by=margin()) & records.where(predicted="cat"),
    unlabeled.top(5, by=margin()) | labeled.top(5, by=margin()),
    unlabeled.top(5, by=margin()) | labeled.where(label="cat"),
    ~labeled,
    ~(labeled | unlabeled.sample(3)),
    (labeled | unlabeled).where(label="cat").sample(4),
    ~records.where(label="cat").top(3, by=margin()),
]


@pytest.mark.parametrize("one", SELECTORS, ids=repr)
def test_a_selector_is_a_value(one: Selector) -> None:
    again = from_json(json.loads(json.dumps(to_json(one))))
    assert again == one
    assert hash(again) == hash(one)
    assert again.needs == one.needs
    names: dict[str, Any] = {
        c.__name__: c for c in (margin, entropy, label_quality, novelty, duplicate, column, random)
    }
    names |= {"records": records, "unlabeled": unlabeled, "labeled": labeled, "answered": answered, "removed": removed}
    written = eval(repr(one), {"__builtins__": {}, "accuracy": accuracy, **names})
    assert written == one, "it prints as it was written"


@pytest.mark.parametrize("one", SELECTORS, ids=repr)
def test_a_selector_chooses_training_records_once_each_and_says_why(one: Selector, state: State) -> None:
    chosen = one.choose(state)
    view = state.view
    assert chosen.ids.dtype == np.int64
    assert len(set(chosen.ids.tolist())) == len(chosen)
    assert (view.split[chosen.ids] == 0).all()
    assert view.alive[chosen.ids].all()
    assert (chosen.score is None) == (chosen.signal is None)
    if chosen.score is not None:
        assert chosen.score.shape == chosen.ids.shape
        assert chosen.score.dtype == np.float64
    assert chosen.reason
    assert repr(chosen).startswith(f"Chosen({len(chosen)} records: ")
    again = one.choose(state)
    assert np.array_equal(again.ids, chosen.ids)


@pytest.mark.parametrize("one", SELECTORS, ids=repr)
def test_ids_do_not_matter(one: Selector, state: State, other_order: State) -> None:
    assert keys(one, state) == keys(one, other_order)


# -- sets --------------------------------------------------------------------------------------------------------------


def test_the_sets_to_begin_with(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", None, None, None, "b", None, "a"], split=["train"] * 5 + ["valid"] * 2)
    dataset = Dataset.open(s.dataset.path)
    ask(dataset, [1])
    answer(dataset, [2, 3, 5])
    set_label(dataset, [3], 1)
    dataset.commit(Changes(events(Op.REMOVE, np.array([0, 6]))))
    now = observed(dataset)
    found = {
        repr(one): sorted(one.choose(now).ids.tolist()) for one in (records, unlabeled, labeled, answered, removed)
    }
    assert found == {"records": [1, 2, 3, 4], "unlabeled": [], "labeled": [3, 4], "answered": [2, 3], "removed": [0]}
    assert sorted((~labeled).choose(now).ids.tolist()) == [1, 2]
    assert removed.where(label="a").choose(now).ids.tolist() == [0]


def test_sets_go_together(state: State) -> None:
    def members(one: Selector) -> set[int]:
        return set(one.choose(state).ids.tolist())

    a, b = records.where(label="cat"), records.where(predicted="cat")
    assert members(a & b) == members(a) & members(b)
    assert members(a | b) == members(a) | members(b)
    assert members(~a) == members(records) - members(a)
    assert members(labeled | unlabeled) == members(records)


def test_the_order_of_the_first_stays_when_sets_go_together(state: State) -> None:
    best, cats = unlabeled.top(12, by=margin()), records.where(predicted="cat")
    first = best.choose(state).ids.tolist()
    both = (best & cats).choose(state)
    assert both.ids.tolist() == [i for i in first if i in set(cats.choose(state).ids.tolist())]
    assert both.score is not None
    assert both.score == pytest.approx(np.asarray(margin().value(state))[both.ids])
    either = (best | labeled.top(3, by=margin())).choose(state)
    assert either.ids.tolist() == first + labeled.top(3, by=margin()).choose(state).ids.tolist()
    assert either.signal == "margin()"
    assert (best | labeled.top(3, by=entropy())).choose(state).score is None


# -- where -------------------------------------------------------------------------------------------------------------


def test_where_keeps_what_fits(state: State) -> None:
    view, dataset = state.view, state.dataset
    ids = np.flatnonzero(view.train)
    text, x = (dataset.features(ids, [name])[name].to_pylist() for name in ("text", "x"))
    found = records.where(text=["t1", "t2"]).choose(state).ids
    assert sorted(found.tolist()) == [i for i, t in zip(ids.tolist(), text, strict=True) if t in ("t1", "t2")]
    found = records.where(x=[1, None]).choose(state).ids
    assert sorted(found.tolist()) == [i for i, v in zip(ids.tolist(), x, strict=True) if v == 1 or np.isnan(v)]
    sure = records.where(confidence() >= 0.8, predicted="cat").choose(state).ids
    p = np.asarray(state.probabilities)
    assert (
        sorted(sure.tolist())
        == np.flatnonzero(view.train & (p.argmax(axis=0) == 1) & (p[1] >= np.float32(0.8))).tolist()
    )


def test_what_is_not_known_is_neither_so_nor_not_so_and_is_counted(state: State) -> None:
    low = records.where(label_quality() < 0.5).choose(state)
    high = records.where(~(label_quality() < 0.5)).choose(state)
    without = int((state.view.train & ~state.view.labeled).sum())
    assert low.passed_over == high.passed_over == without
    assert len(low) + len(high) + without == len(records.choose(state))
    top = records.top(1000, by=label_quality()).choose(state)
    assert top.passed_over == without
    assert len(top) + without == len(records.choose(state))


def test_several_classes_a_record(tmp_path: Path) -> None:
    p = [[0.9, 0.1], [0.6, 0.7], [0.1, 0.2], [0, 0]]
    labels = [["a"], ["a", "b"], [], None]
    s = make_state(tmp_path, labels, classes=["a", "b"], label_kind="classes", probabilities=p)

    def found(one: Selector) -> list[int]:
        return sorted(one.choose(s).ids.tolist())

    assert found(records.where(label="a")) == [0, 1]
    assert found(records.where(label=["b"])) == [1]
    assert found(records.where(label=None)) == [3]
    assert found(records.where(predicted="b")) == [1]
    assert found(unlabeled) == [3]
    with pytest.raises(UsageError, match=r"per\('label', ...\) groups by class, and these labels are several classes"):
        records.per("label", 1).choose(s)


def test_numbers_as_labels(tmp_path: Path) -> None:
    s = make_state(tmp_path, [1.5, 2.5, None], label_kind="number", probabilities=[[1], [2], [3]])
    assert records.where(label=2.5).choose(s).ids.tolist() == [1]
    assert records.where(label=None).choose(s).ids.tolist() == [2]
    with pytest.raises(UsageError, match=r"where\(label='cat'\): these labels are numbers"):
        records.where(label="cat").choose(s)
    with pytest.raises(UsageError, match="the model predicts numbers; compare a signal instead"):
        records.where(predicted="cat").choose(s)


# -- top, bottom, sample, per ------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, -1.0, np.inf, np.nan]), min_size=1, max_size=N),
    st.integers(1, N + 5),
    st.booleans(),
)
def test_the_highest_are_chosen_exactly(state: State, values: list[float], k: int, as_set: bool) -> None:
    score = np.full(N, np.nan)
    score[: len(values)] = values
    mask = np.arange(N) % 4 != 0
    picked = Picked.all_of(mask, "x") if as_set else Picked(None, np.flatnonzero(mask)[::-1], "x", "x")
    found = highest(halves(score), picked, k, state).ids
    usable = score[mask & ~np.isnan(score)]
    assert score[found].tolist() == np.sort(usable)[::-1][:k].tolist()
    assert mask[found].all()
    assert len(set(found.tolist())) == len(found)


def halves(score: np.ndarray) -> list[tuple[slice, Above]]:
    def above(part: slice, bar: float) -> tuple[np.ndarray, np.ndarray]:
        at = np.flatnonzero(~(score[part] < bar))
        return at, score[part][at]

    half = len(score) // 2
    return [(part, partial(above, part)) for part in (slice(0, half), slice(half, len(score)))]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> State:
    return make_state(tmp_path_factory.mktemp("many"), ["a"] * 100_000)


@pytest.mark.parametrize("shape", ["random", "rising", "equal", "rare", "striped", "unknown"])
def test_the_highest_of_many_are_chosen_exactly(shape: str, many: State) -> None:
    n, k = len(many), 50
    chance = np.random.default_rng(1)
    score = {
        "random": chance.random(n),
        "rising": np.arange(n, dtype=float),
        "equal": np.zeros(n),
        "rare": (np.arange(n) == 7).astype(float),
        "striped": chance.random(n) + 10 * (np.arange(n) % 8 == 0),
        "unknown": np.where(chance.random(n) < 0.999, np.nan, chance.random(n)),
    }[shape]
    mask = chance.random(n) < 0.5
    found = highest(halves(score), Picked.all_of(mask, "x"), k, many).ids
    usable = score[mask & ~np.isnan(score)]
    assert score[found].tolist() == np.sort(usable)[::-1][:k].tolist()
    assert mask[found].all()
    assert len(set(found.tolist())) == len(found)


def test_top_and_bottom_are_in_order_with_their_scores(state: State) -> None:
    value = np.asarray(margin().value(state))
    top, bottom = unlabeled.top(9, by=margin()).choose(state), unlabeled.bottom(9, by=margin()).choose(state)
    pool = np.sort(value[state.view.pool])
    assert top.score is not None
    assert bottom.score is not None
    assert top.score == pytest.approx(pool[::-1][:9])
    assert bottom.score == pytest.approx(pool[:9])
    assert top.signal == bottom.signal == "margin()"
    assert top.reason == f"margin() among top 9 of {len(pool)} unlabeled"


def test_arithmetic_ranks_too(state: State) -> None:
    both = margin() * entropy() - 0.5
    chosen = unlabeled.top(4, by=both).choose(state)
    assert chosen.signal == "(margin() * entropy()) - 0.5"
    assert keys(unlabeled.top(4, by=-margin()), state) == keys(unlabeled.bottom(4, by=margin()), state)


def test_steps_apply_in_the_order_in_which_they_are_written(state: State) -> None:
    first = unlabeled.top(10, by=margin()).where(predicted="cat").choose(state)
    then = unlabeled.where(predicted="cat").top(10, by=margin()).choose(state)
    assert set(first.ids.tolist()) <= set(unlabeled.top(10, by=margin()).choose(state).ids.tolist())
    assert len(then) > len(first)


def test_a_sample_is_drawn_anew_for_each_round_seed_and_text(state: State) -> None:
    def drawn(one: Selector, **about: Any) -> list[int]:
        return one.choose(State(state.dataset, state.outputs, **about)).ids.tolist()

    one = records.sample(10)
    assert drawn(one) == drawn(one)
    others = [
        drawn(one, seed=1),
        drawn(one, rounds=(past(),)),
        drawn(records.sample(10).sample(10)),
        drawn((~removed_none()).sample(10)),
    ]
    assert all(other != drawn(one) for other in others)
    assert len(drawn(records.sample(5000))) == len(records.choose(state))


def removed_none() -> Selector:
    return records.where(weight() < 0)


def test_samples_are_fair(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a"] * 2000)
    half = set(records.sample(1000).choose(s).ids.tolist())
    assert 430 < sum(i < 1000 for i in half) < 570
    other = set(records.sample(1000).choose(State(s.dataset, seed=1)).ids.tolist())
    assert 430 < len(half & other) < 570


def test_per_keeps_the_best_of_each_and_takes_turns(state: State) -> None:
    chosen = records.per("label", 4, by=margin()).choose(state)
    label, value = state.view.label, np.asarray(margin().value(state))
    assert np.bincount(label[chosen.ids]).tolist() == [4, 4, 4]
    for turn in range(4):
        assert set(label[chosen.ids[3 * turn : 3 * turn + 3]].tolist()) == {0, 1, 2}
    for code in range(3):
        mine = chosen.ids[label[chosen.ids] == code]
        best = np.sort(value[state.view.train & (label == code)])[::-1][:4]
        assert value[mine].tolist() == best.tolist()
    values = state.dataset.features(records.per("x", 2).choose(state).ids, ["x"])["x"].to_pylist()
    assert sorted(values) == sorted([0, 1, 2, 3, 4] * 2), "records without a value are left out"


# -- diverse -----------------------------------------------------------------------------------------------------------


def test_diverse_is_farthest_first(state: State) -> None:
    rows = np.asarray(state.output("embeddings")).astype(float)
    center = [rows[i] for i in np.flatnonzero(state.view.train & state.view.labeled)]
    pool = set(np.flatnonzero(state.view.pool).tolist())
    chosen = unlabeled.diverse(6).choose(state)
    assert chosen.score is not None
    for i, far in zip(chosen.ids.tolist(), chosen.score.tolist(), strict=True):
        distance = {j: min(np.linalg.norm(rows[j] - c) for c in center) for j in pool}
        assert distance[i] == pytest.approx(max(distance.values()), abs=1e-4)
        assert far == pytest.approx(distance[i], abs=1e-4)
        center.append(rows[i])
        pool.remove(i)


def test_diverse_keeps_the_scores_that_it_was_given(state: State) -> None:
    chosen = unlabeled.top(20, by=margin()).diverse(5).choose(state)
    assert chosen.signal == "margin()"
    assert chosen.score == pytest.approx(np.asarray(margin().value(state))[chosen.ids])
    assert unlabeled.diverse(5).choose(state).signal == "distance by embeddings"


def test_diverse_without_anything_labelled_or_with_nothing_to_see(tmp_path: Path) -> None:
    e = [[0.0, 0], [0, 0], [5, 0], [np.nan, 0]]
    s = make_state(tmp_path, [None] * 4, classes=["a"], embeddings=e)
    chosen = unlabeled.diverse(4).choose(s)
    assert sorted(chosen.ids.tolist()) == [0, 1, 2]
    assert 2 in chosen.ids[:2]
    assert chosen.score is not None
    assert np.isnan(chosen.score).tolist() == [True, False, False]
    assert chosen.passed_over == 1
    assert "of which there are 3" in chosen.reason
    unseen = make_state(tmp_path / "unseen", [None], classes=["a"], embeddings=[[np.nan, np.nan]])
    for one in (unlabeled.diverse(1), unlabeled.top(1, by=random()).diverse(1)):
        found = one.choose(unseen)
        assert len(found) == 0
        assert found.passed_over == 1
        assert found.reason.startswith("nothing to choose from: none of")


def test_a_labelled_record_that_the_model_has_not_seen_does_not_blind_diverse(tmp_path: Path) -> None:
    e = [[0.0, 0], [np.nan, np.nan], [1, 0], [9, 0]]
    s = make_state(tmp_path, ["a", "a", None, None], embeddings=e)
    chosen = unlabeled.diverse(1).choose(s)
    assert chosen.ids.tolist() == [3]
    assert chosen.score == pytest.approx([9])


def test_farthest_first_reaches_every_cluster() -> None:
    rows = np.repeat(np.eye(8, dtype=np.float32) * 10, 500, axis=0)
    rows += np.random.default_rng(0).normal(size=rows.shape).astype(np.float32) * 0.1
    found, _ = farthest(rows, rows[:600], 6, first=0)
    assert sorted((found // 500).tolist()) == [2, 3, 4, 5, 6, 7]


def test_diverse_goes_by_a_vector_column_without_a_model(state: State) -> None:
    assert records.diverse(3, by="v").needs == frozenset()
    assert records.diverse(3).needs == {"embeddings"}
    for name in ("text", "w"):
        with pytest.raises(UsageError, match=rf'diverse\(by="{name}"\): no such vector. There is: embeddings, v'):
            records.diverse(3, by=name).choose(state)


# -- held-out data -----------------------------------------------------------------------------------------------------

conditions = st.sampled_from([margin() > 0.3, entropy() <= 0.7, label_quality() < 0.6, ~(random() < 0.5)])
steps = st.one_of(
    conditions.map(lambda c: lambda s: s.where(c)),
    st.sampled_from(["label", "predicted"]).flatmap(
        lambda field: st.sampled_from(CLASSES).map(lambda c: lambda s: s.where(**{field: c}))
    ),
    st.integers(1, 40).map(lambda k: lambda s: s.top(k, by=entropy())),
    st.integers(1, 40).map(lambda k: lambda s: s.bottom(k, by=label_quality())),
    st.integers(1, 40).map(lambda k: lambda s: s.sample(k)),
    st.integers(1, 5).map(lambda k: lambda s: s.per("n", k)),
    st.integers(1, 5).map(lambda k: lambda s: s.diverse(k)),
)
chains = st.tuples(st.sampled_from([records, unlabeled, labeled]), st.lists(steps, max_size=3)).map(
    lambda made: functools.reduce(lambda s, step: step(s), made[1], made[0])
)
anything = st.recursive(
    chains,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda ab: ab[0] & ab[1]),
        st.tuples(inner, inner).map(lambda ab: ab[0] | ab[1]),
        inner.map(lambda a: ~a),
        st.tuples(inner, steps).map(lambda made: made[1](made[0])),
    ),
    max_leaves=4,
)


@settings(max_examples=150)
@given(anything)
def test_no_selector_reaches_held_out_records_or_looks_at_ids(state: State, other_order: State, one: Selector) -> None:
    chosen = one.choose(state)
    assert (state.view.split[chosen.ids] == 0).all()
    assert len(set(chosen.ids.tolist())) == len(chosen)
    assert state.dataset.keys(chosen.ids) == keys(one, other_order)
    assert from_json(to_json(one)) == one


def test_naming_a_held_out_split_is_an_error_where_it_is_written(state: State) -> None:
    for split in ("valid", "test", ("train", "test")):
        with pytest.raises(HeldOut, match=r"is held out, so no selector may choose from it"):
            records.where(split=split)
    with pytest.raises(UsageError, match=r"no such split\. There is: train, valid, test. Did you mean 'train'"):
        records.where(split="trian")
    with pytest.raises(HeldOut, match=r'where\(key="k0003"\): that record is in valid, which no selector may touch'):
        records.where(key=["k0001", "k0003"]).choose(state)


# -- little to choose from ---------------------------------------------------------------------------------------------


def test_more_are_asked_for_than_there_are(state: State) -> None:
    n = len(unlabeled.choose(state))
    for one in (unlabeled.top(1000, by=margin()), unlabeled.sample(1000), unlabeled.diverse(1000)):
        chosen = one.choose(state)
        assert len(chosen) == n
        assert chosen.reason.endswith(f", of which there are {n}")


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"], probabilities=[[1, 0], [0, 1]], embeddings=[[1, 0], [0, 1]])
    nothing = [
        unlabeled,
        unlabeled.top(5, by=margin()),
        unlabeled.sample(5),
        unlabeled.per("predicted", 5, by=margin()),
        unlabeled.per("x", 2),
        unlabeled.diverse(5),
        unlabeled.where(margin() > 0.5),
        unlabeled.where(x=1.0),
        unlabeled & labeled,
        unlabeled | removed,
        ~records,
    ]
    for one in nothing:
        chosen = one.choose(s)
        assert chosen.ids.tolist() == []
        assert isinstance(chosen, Chosen)
        assert chosen.reason
    assert unlabeled.top(5, by=margin()).choose(s).reason == "nothing to choose from: unlabeled is empty"
    blind = make_state(tmp_path / "blind", ["a", None], probabilities=[[np.nan] * 2] * 2, classes=["a", "b"])
    chosen = records.top(1, by=margin()).choose(blind)
    assert chosen.reason == "nothing to choose from: margin() is not known of any of 2 records"
    assert chosen.passed_over == 2


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: records.top(0, by=margin()), r"top\(k\) is a whole number of 1 or more, got 0"),
        (lambda: records.bottom(-1, by=margin()), r"bottom\(k\) is a whole number of 1 or more, got -1"),
        (lambda: records.sample(2.0), r"sample\(k\) is a whole number of 1 or more, got 2.0"),
        (lambda: records.sample(True), "got True"),
        (lambda: records.diverse("5"), "got '5'"),
        (lambda: records.diverse(5, within=0), r"diverse\(within=...\) is a whole number of 1 or more, got 0"),
        (lambda: records.per("label", 0), r"per\(field, k\) is a whole number"),
        (lambda: records.per("split", 1), "would be one group or one a record"),
        (lambda: records.top(5, by=accuracy()), r"top\(by=accuracy\(\)\): that is one number for the whole state"),
        (lambda: records.top(5, by=margin() > 0.5), "that is a yes or no; records are ranked by a signal"),
        (lambda: records.top(5, by=margin), r"top\(by=margin\): that is a function, .* call it: by=margin\(\)"),
        (lambda: records.top(5, by="margin"), r"top\(by='margin'\): records are ranked by a signal"),
        (records.where, "needs a condition"),
        (lambda: records.where(margin()), r"where\(margin\(\)\) got a number; a condition compares it"),
        (lambda: records.where(accuracy() < 0.9), "holds for the whole state or not at all; it belongs into when="),
        (lambda: records.where(margin == "cat"), r"where\(False\) got a plain False; equality is written where"),
        (lambda: records.where("cat"), r"where\(\) takes conditions such as entropy\(\) > 0.5, got 'cat' \(str\)"),
        (lambda: records.where(label=margin() > 0.5), "give a value or a list of values; conditions stand alone"),
        (lambda: records.where(predicted=1), r"where\(predicted=1\): a class name is text"),
        (lambda: records.where(key=None), r"where\(key=None\): a key is text"),
        (lambda: records.where(text=b"t1"), r"where\(text=b't1'\): a value is text, a number, True, False or None"),
        (lambda: ~removed, "removed records have no complement"),
    ],
)  # fmt: skip
def test_mistakes_are_told_where_they_are_written(write: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        write()


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (records.where(label="cta"), r"no class 'cta' in version 0. There is: bird, cat, dog. Did you mean 'cat'"),
        (records.where(predicted=["cat", "god"]), r'where\(predicted="god"\): no class \'god\''),
        (records.where(txt="t1"), "'txt'. There is: label, predicted, split, key, x, n, text, v. Did you mean 'text'"),
        (records.where(v=1.0), r"column 'v' holds vector, which cannot be compared"),
        (records.where(n="one"), r'where\(n="one"\): column \'n\' holds integer'),
        (records.per("txt", 1), "records have no field 'txt'"),
        (Selector("recrods"), "no selector 'recrods'. There is: records, unlabeled, labeled, answered, removed"),
    ],
    ids=repr,
)  # fmt: skip
def test_names_that_are_not_there_are_told_with_the_likely_one(one: Selector, said: str, state: State) -> None:
    with pytest.raises(UsageError, match=said):
        one.choose(state)


def test_unknown_keys_and_missing_outputs_are_told(state: State) -> None:
    with pytest.raises(NotFound, match="no record 'k9999' in version 0"):
        records.where(key="k9999").choose(state)
    with pytest.raises(UsageError, match="no model has been trained yet, so there are no probabilities"):
        unlabeled.top(5, by=margin()).choose(State(state.dataset))
    with pytest.raises(UsageError, match="no model has been trained yet, so there are no embeddings"):
        unlabeled.diverse(5).choose(State(state.dataset))


def test_selectors_go_together_with_selectors_only() -> None:
    with pytest.raises(
        NotData, match=r"selectors go together with selectors; got .*; put the condition into where\(...\)"
    ):
        _ = records & (margin() > 0.5)
    with pytest.raises(NotData, match="got 'labeled'"):
        _ = records | "labeled"
    with pytest.raises(NotData, match="neither true nor false now"):
        _ = records and unlabeled
