"""Signals: against plain numpy, on every kind of state, and through the exam that users' own signals sit."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.states import make_state, observed, past
from tilth.algebra import Quantity, from_json, signal, to_json
from tilth.errors import NotFound, UsageError
from tilth.signals import (
    age,
    column,
    confidence,
    density,
    duplicate,
    entropy,
    label_quality,
    least_confident,
    margin,
    novelty,
    random,
    suggest,
    weight,
)
from tilth.signals.kernels import CHUNK, best, leading, mean_entropy
from tilth.signals.neighbours import BLOCK, TILE, leaders, similarity, unit
from tilth.state import State
from tilth.testing.signals import check_signal

RNG = np.random.default_rng(7)


def probabilities(n: int, k: int = 3) -> np.ndarray:
    return np.random.default_rng(n).dirichlet(np.ones(k), n).astype(np.float32)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    n = 60
    p = probabilities(n)
    return make_state(
        tmp_path_factory.mktemp("signals"),
        [None if i % 3 == 0 else ["bird", "cat", "dog"][i % 7 % 3] for i in range(n)],
        split=["valid" if i % 5 == 0 else "train" for i in range(n)],
        columns={
            "x": np.arange(n, dtype=float),
            "n": pa_integers(n),
            "text": [f"t{i % 4}" for i in range(n)],
        },
        probabilities=p,
        out_of_fold_probabilities=p,
        probe_probabilities=p[::-1],
        embeddings=RNG.normal(size=(n, 4)),
    )


def pa_integers(n: int) -> list[int | None]:
    return [None if i == 3 else i for i in range(n)]


ALL = [
    margin(),
    entropy(),
    least_confident(),
    confidence(),
    label_quality(),
    label_quality(by="model"),
    label_quality(method="self_confidence"),
    novelty(),
    novelty(k=3),
    density(k=3),
    duplicate(),
    duplicate(threshold=0.5),
    duplicate(by="content"),
    age(),
    weight(),
    column("x"),
    column("n"),
    random(),
    margin() * density() + 1,
]


@pytest.mark.parametrize("one", ALL, ids=repr)
def test_every_signal_passes_the_exam(one: Quantity, state: State) -> None:
    check_signal(one, state)


@pytest.mark.parametrize("one", ALL, ids=repr)
def test_every_signal_goes_to_json_and_back(one: Quantity) -> None:
    again = from_json(to_json(one))
    assert again == one
    assert again.needs == one.needs
    assert repr(again) == repr(one)


# -- predictions -------------------------------------------------------------------------------------------------------

rows_of_probabilities = st.integers(1, 6).flatmap(
    lambda k: arrays(np.float32, st.tuples(st.integers(1, 40), st.just(k)), elements=st.floats(2**-10, 1, width=32))
)


@given(rows_of_probabilities)
def test_kernels_agree_with_plain_numpy(raw: np.ndarray) -> None:
    p = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    ordered = np.sort(p, axis=1)
    first = np.concatenate([high.copy() for _, high, _ in leading(p.T)])
    second = np.concatenate([low.copy() for _, _, low in leading(p.T)])
    assert np.array_equal(first, ordered[:, -1])
    assert np.array_equal(second, ordered[:, -2] if p.shape[1] > 1 else np.zeros(len(p)))
    code, top = best(p.T)
    assert np.array_equal(code, p.argmax(axis=1))
    assert np.array_equal(top, p.max(axis=1))
    by_hand = -(p * np.log(p)).sum(axis=1) / np.log(max(p.shape[1], 2))
    assert np.allclose(mean_entropy(p.T, several=False), by_hand, atol=1e-5)


def test_kernels_work_across_chunks_and_pass_nan_on() -> None:
    p = probabilities(2 * CHUNK + 5, 4)
    p[[0, CHUNK, -1], 2] = np.nan
    unknown = np.isnan(p).any(axis=1)
    first = np.concatenate([high.copy() for _, high, _ in leading(p.T)])
    second = np.concatenate([low.copy() for _, _, low in leading(p.T)])
    code, top = best(p.T)
    spread = mean_entropy(p.T, several=False)
    for found in (first, second, top, spread):
        assert np.array_equal(np.isnan(found), unknown)
    assert np.array_equal(code == -1, unknown)
    sure = ~unknown
    assert np.array_equal(first[sure], p[sure].max(axis=1))
    assert np.array_equal(second[sure], np.sort(p[sure], axis=1)[:, -2])
    assert np.array_equal(code[sure], p[sure].argmax(axis=1))


def test_every_uncertainty_is_high_where_the_model_is_unsure(tmp_path: Path) -> None:
    p = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]]
    s = make_state(tmp_path, ["a", "b", "c"], probabilities=p)
    assert margin().value(s) == pytest.approx([0, 1, 1])
    assert entropy().value(s) == pytest.approx([0, np.log(2) / np.log(3), 1])
    assert least_confident().value(s) == pytest.approx([0, 0.5, 2 / 3])
    assert confidence().value(s) == pytest.approx([1, 0.5, 1 / 3])


def test_entropy_stays_in_its_range_where_probabilities_do_not_quite_sum_to_one(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b", "c"], probabilities=[[0.34, 0.34, 0.34], [1.001, 0, 0], [0.3, 0.3, 0.3]])
    assert entropy().value(s)[:2].tolist() == [1, 0]


def test_margins_that_differ_in_the_last_digit_stay_different(tmp_path: Path) -> None:
    close = np.float32(0.1)
    p = [[close, np.nextafter(close, 1)], [close, np.nextafter(np.nextafter(close, 1), 1)]]
    found = margin().value(make_state(tmp_path, ["a", "b"], probabilities=p))
    assert found[0] > found[1]


def test_where_a_record_may_have_several_classes_each_is_a_yes_or_no(tmp_path: Path) -> None:
    p = [[0.5, 1.0], [0.9, 0.2], [1.0, 0.0]]
    s = make_state(tmp_path, [["a"], ["b"], ["a", "b"]], probabilities=p)
    assert margin().value(s) == pytest.approx([1, 0.4, 0])

    def binary(q: float) -> float:
        return -(q * np.log2(q) + (1 - q) * np.log2(1 - q)) if 0 < q < 1 else 0.0

    assert entropy().value(s) == pytest.approx([np.mean([binary(q) for q in row]) for row in p], abs=1e-6)


def test_records_that_the_model_has_not_seen_are_nan(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"], probabilities=[[0.3, 0.7], [0.6, 0.4]])
    dataset = type(s.dataset).open(s.dataset.path)
    dataset.append({"key": ["new"], "label": ["a"], "x": [1.0]}, key="key", label="label")
    found = margin().value(observed(dataset, probabilities=[[0.3, 0.7], [0.6, 0.4]]))
    assert np.isnan(found).tolist() == [False, False, True]


def test_without_a_model_a_signal_of_it_says_so(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"])
    with pytest.raises(UsageError, match="no model has been trained yet, so there are no probabilities; train first"):
        margin().value(s)
    with pytest.raises(NotFound, match="has no embeddings"):
        novelty().value(make_state(tmp_path / "other", ["a", "b"], probabilities=[[0, 1], [1, 0]]))


# -- label quality -----------------------------------------------------------------------------------------------------


def test_label_quality_is_low_where_another_class_is_more_probable(tmp_path: Path) -> None:
    p = [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.4, 0.4, 0.2], [0.2, 0.3, 0.5]]
    s = make_state(tmp_path, ["a", "b", "b", None], classes=["a", "b", "c"], probe_probabilities=p)
    assert label_quality().value(s)[:3] == pytest.approx([0.9, 0.1, 0.5])
    assert label_quality(method="self_confidence").value(s)[:3] == pytest.approx([0.9, 0.1, 0.4])
    assert np.isnan(label_quality().value(s)[3])
    code, sure = suggest(s)
    assert code.tolist() == [0, 0, 0, 2]
    assert sure == pytest.approx([0.9, 0.9, 0.4, 0.5])
    with pytest.raises(NotFound, match="no out_of_fold_probabilities"):
        suggest(s, by="model")


def test_label_quality_declares_what_it_reads_and_prints_as_written() -> None:
    assert label_quality().needs == {"probe_probabilities"}
    assert label_quality(by="model").needs == {"out_of_fold_probabilities"}
    assert repr(label_quality(by="model") < 0.1) == 'label_quality(by="model") < 0.1'
    assert repr(label_quality(by="probe")) == "label_quality()"


# -- geometry ----------------------------------------------------------------------------------------------------------


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(float), b.astype(float)
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


def test_novelty_and_density_agree_with_all_pairs(state: State) -> None:
    rows = np.asarray(state.output("embeddings"))
    near = cosine(rows, rows)
    np.fill_diagonal(near, -np.inf)
    train, labelled = state.view.train, state.view.train & state.view.labeled
    for among, found in ((labelled, 1 - novelty(k=4).value(state)), (train, density(k=4).value(state))):
        by_hand = np.sort(near[:, among], axis=1)[:, -4:].mean(axis=1)
        assert found[train] == pytest.approx(by_hand[train], abs=1e-5)
        assert np.isnan(found[~train]).all()


def test_neighbours_work_across_blocks_and_tiles() -> None:
    rows = unit(RNG.normal(size=(9 * TILE + BLOCK + 3, 8)).astype(np.float32))
    everyone = np.arange(len(rows))
    some = everyone[:: len(rows) // (BLOCK + 50)]
    found = similarity(some, everyone, lambda ids: rows[ids], 5)
    near = rows[some] @ rows.T
    near[np.arange(len(some)), some] = -np.inf
    by_hand = np.sort(near, axis=1)[:, -5:].mean(axis=1)
    assert found == pytest.approx(by_hand, abs=1e-5)
    for i in range(20):
        one = similarity(some[i : i + 1], everyone, lambda ids: rows[ids], 5)
        assert one[0] == pytest.approx(by_hand[i], abs=1e-5)


@pytest.mark.parametrize(("n", "threshold"), [(40, 0.9), (BLOCK + 200, 0.999), (BLOCK + 200, -1.0)])
def test_one_of_each_group_of_near_duplicates_stays(n: int, threshold: float) -> None:
    rows = unit(RNG.normal(size=(n, 3)).astype(np.float32))
    stays = leaders(np.arange(n), lambda ids: rows[ids], threshold)
    near = rows @ rows.T >= threshold
    assert near[~stays][:, stays].any(axis=1).all()
    among = near[stays][:, stays]
    assert among.sum() == len(among)
    assert stays[0]


def test_duplicates_keep_the_labelled_one_and_exactly_one(tmp_path: Path) -> None:
    e = [[1, 0], [2, 0], [0, 1], [3, 0.001], [-1, 0], [0, 0]]
    s = make_state(tmp_path, [None, "a", None, None, None, None], embeddings=e, columns={"x": [1.0, 2, 3, 3, 3, 2]})
    found = duplicate().value(s)
    assert found[:5].tolist() == [1, 0, 0, 1, 0]
    assert np.isnan(found[5])
    by_content = duplicate(by="content").value(s)
    assert by_content[[0, 1, 5]].tolist() == [0, 0, 1]
    assert by_content[2:5].sum() == 2
    assert duplicate(by="content").needs == frozenset()


def test_fewer_neighbours_than_asked_for_and_none(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", None, None], embeddings=[[1, 0], [0, 1], [1, 1]])
    found = novelty(k=10).value(s)
    assert found[1:] == pytest.approx([1, 1 - np.sqrt(0.5)])
    assert np.isnan(found[0])
    nothing = make_state(tmp_path / "none", [None, None], classes=["a"], embeddings=[[1, 0], [0, 1]])
    assert np.isnan(novelty().value(nothing)).all()
    assert density().value(nothing) == pytest.approx([0, 0])


# -- data only ---------------------------------------------------------------------------------------------------------


def test_age_counts_versions_since_the_record_came(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"])
    dataset = type(s.dataset).open(s.dataset.path)
    dataset.append({"key": ["new"], "label": ["a"], "x": [1.0]}, key="key", label="label", split="train")
    assert age().value(observed(dataset)).tolist() == [1, 1, 0]


def test_columns_of_numbers_are_signals_and_others_are_not(state: State) -> None:
    assert column("x").value(state)[:5].tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(column("n").value(state)[3])
    with pytest.raises(UsageError, match=r"column\('text'\) holds text; a signal is a number per record"):
        column("text").value(state)
    with pytest.raises(NotFound, match=r"no column 'y'\. There is: x, n, text"):
        column("y").value(state)


def test_random_draws_anew_each_round_and_seed_and_never_from_ids(state: State) -> None:
    first = random().value(state)
    assert ((first >= 0) & (first < 1)).all()
    assert len(set(first.tolist())) == len(state)
    later = State(state.dataset, state.outputs, (past(),), state.seed)
    other = State(state.dataset, state.outputs, (), 1)
    assert (random().value(later) != first).all()
    assert (random().value(other) != first).all()


# -- what cannot be written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda: label_quality(by="prob"),
            r"label_quality\(by=...\): no 'prob'. There is: probe, model, ensemble, auto. Did you mean 'probe'",
        ),
        (lambda: label_quality(method="margin"), "no 'margin'. There is: normalized_margin, self_confidence"),
        (lambda: novelty(k=0), r"novelty\(k=...\) is a whole number of 1 or more, got 0"),
        (lambda: density(k=2.5), r"density\(k=...\) is a whole number of 1 or more, got 2.5"),
        (lambda: novelty(k=True), "got True"),
        (
            lambda: duplicate(threshold=95),
            r"duplicate\(threshold=...\) is a cosine similarity above 0 and up to 1, got 95",
        ),
        (lambda: duplicate(by="pixels"), "no 'pixels'. There is: embeddings, content"),
        (lambda: margin("cat"), r"margin\(\): too many positional arguments"),
        (column, r"column\(name: str\): missing a required argument: 'name'"),
    ],
)
def test_mistakes_are_told_where_they_are_written(write: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        write()  # type: ignore[operator]


# -- the exam ----------------------------------------------------------------------------------------------------------


@signal()
def counting(state: State) -> np.ndarray:
    return np.arange(len(state) // 2, dtype=float)


@signal()
def dividing(state: State) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 1 / np.arange(len(state), dtype=float)


@signal()
def dicing(state: State) -> np.ndarray:
    return np.random.default_rng().random(len(state))


@signal(needs={"probabilities"})
def peeping(state: State) -> np.ndarray:
    return np.asarray(state.probabilities[0] * state.output("embeddings")[:, 0])


@signal(needs={"probabilities", "embeddings"})
def wasteful(state: State) -> np.ndarray:
    return np.asarray(state.probabilities[0])


@signal()
def positional(state: State) -> np.ndarray:
    return np.arange(len(state), dtype=float)


@signal(needs={"probabilities"})
def filling(state: State) -> np.ndarray:
    return np.nan_to_num(np.asarray(state.probabilities[0]))


@signal()
def silent(state: State) -> np.ndarray:
    return np.full(len(state), np.nan)


@signal()
def failing(state: State) -> np.ndarray:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (counting(), r"counting\(\) failed: UsageError: signal counting\(\) returned float64\[30\]"),
        (dividing(), r"dividing\(\) is infinite for 1 records; where there is no number, return NaN"),
        (dicing(), r"dicing\(\) is not the same when it is computed again"),
        (peeping(), r"peeping\(\) reads more than it declares: with \['probabilities'\] alone, without embeddings"),
        (wasteful(), r"wasteful\(\) declares 'embeddings' and does not read it"),
        (positional(), r"positional\(\) depends on the order in which records are stored"),
        (filling(), r"filling\(\) says 0 of a record that the model has not seen; say NaN"),
        (silent(), r"silent\(\) is NaN for all 60 records"),
        (failing(), r"failing\(\) failed: ZeroDivisionError: oh"),
        (margin() > 1, "check_signal takes a signal, such as margin"),
    ],
    ids=repr,
)
def test_the_exam_finds_what_is_wrong_with_a_signal(one: Quantity, said: str, state: State) -> None:
    with pytest.raises(AssertionError, match=said):
        check_signal(one, state)


def test_the_exam_asks_for_a_state_that_has_what_the_signal_needs(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"], probabilities=[[0.5, 0.5], [1, 0]])
    with pytest.raises(AssertionError, match=r"novelty\(\) failed: NotFound: .* has no embeddings"):
        check_signal(novelty(), s)
