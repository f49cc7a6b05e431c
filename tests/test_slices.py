"""Slices: the language they are described in, and the search for those in which a model is wrong."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, hypergeom

from tests.states import make_state, observed
from tilth.actions import remove
from tilth.algebra import from_json, to_json
from tilth.changes import Changes, Op, events
from tilth.dataset import Dataset
from tilth.errors import NotFound, UsageError
from tilth.rules import Rule
from tilth.selectors import records, removed
from tilth.signals import entropy, find_slices, in_slice, worst_slice
from tilth.signals.clusters import centers, nearest
from tilth.signals.expressions import literal, quoted
from tilth.signals.slicing import Coded, adjusted, cuts, search, upper_tail
from tilth.state import State

JOBS = ["clerk", 'it\'s a "job"', "back\\slash\nline", "student", ""]
N = 60


def people(folder: Path) -> State:
    """A state with columns of every kind, some numbers missing."""
    chance = np.random.default_rng(0)
    age = chance.integers(15, 60, N).astype(float)
    age[::7] = np.nan
    columns = {
        "age": age,
        "number of cars": np.arange(N) % 4,
        "job": [JOBS[i % len(JOBS)] for i in range(N)],
        "v": chance.normal(size=(N, 3)),
    }
    split = [("train", "train", "valid")[i % 3] for i in range(N)]
    return make_state(folder, ["a", "b"] * (N // 2), split=split, columns=columns)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def rows(state: State) -> list[dict[str, Any]]:
    return state.dataset.features(np.arange(N)).to_pylist()


# -- the language ----------------------------------------------------------------------------------------------------

WAYS: dict[str, Any] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
Plain = tuple[Any, ...]


def plain_tests() -> st.SearchStrategy[Plain]:
    numbers = st.sampled_from(["age", "number of cars"])
    figure = st.integers(-5, 65) | st.sampled_from([0.5, 2.5, 1e3])
    job = st.sampled_from([*JOBS, "nobody"])
    return st.one_of(
        st.tuples(st.just("test"), numbers, st.sampled_from(list(WAYS)), st.tuples(figure)),
        st.tuples(st.just("test"), st.just("job"), st.sampled_from(["==", "!="]), st.tuples(job)),
        st.tuples(st.just("test"), numbers, st.just("in"), st.lists(figure, min_size=1, max_size=3).map(tuple)),
        st.tuples(st.just("test"), st.just("job"), st.just("in"), st.lists(job, min_size=1, max_size=3).map(tuple)),
        st.tuples(st.just("test"), st.sampled_from(["age", "job"]), st.just("missing"), st.just(())),
    )


def plain_conditions() -> st.SearchStrategy[Plain]:
    return st.recursive(
        plain_tests(),
        lambda inner: st.tuples(st.just("~"), inner) | st.tuples(st.sampled_from("&|"), inner, inner),
        max_leaves=6,
    )


def written(node: Plain) -> str:
    match node:
        case ("test", name, "missing", _):
            return f"{quoted(name)} is missing"
        case ("test", name, "in", values):
            return f"{quoted(name)} in ({', '.join(map(literal, values))})"
        case ("test", name, op, (value,)):
            return f"{quoted(name)} {op} {literal(value)}"
        case ("~", inner):
            return f"~({written(inner)})"
        case (op, left, right):
            return f"({written(left)}) {op} ({written(right)})"
    raise AssertionError(node)


def plainly(node: Plain, row: dict[str, Any]) -> bool | None:
    """Return yes, no, or None = not known, for one record."""
    match node:
        case ("test", name, op, values):
            value = row[name]
            missing = value is None or (isinstance(value, float) and math.isnan(value))
            if op == "missing":
                return missing
            if missing:
                return None
            return value in values if op == "in" else WAYS[op](value, values[0])
        case ("~", inner):
            found = plainly(inner, row)
            return None if found is None else not found
        case (op, left, right):
            sides = {plainly(left, row), plainly(right, row)}
            decisive = op == "|"
            if decisive in sides:
                return decisive
            return None if None in sides else not decisive
    raise AssertionError(node)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plain_conditions())
def test_a_condition_means_what_a_plain_reading_of_it_means(
    state: State, rows: list[dict[str, Any]], node: Plain
) -> None:
    condition = in_slice(written(node))
    yes, known = condition.decide(state)
    expected = [plainly(node, row) for row in rows]
    assert known.tolist() == [found is not None for found in expected]
    assert (yes & known).tolist() == [found is True for found in expected]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("age<30&job=='clerk'|age>50", "((age < 30) & (job == 'clerk')) | (age > 50)"),
        ("~age < 30 & job == 'clerk'", "(~(age < 30)) & job == 'clerk'"),
        ("~~age < 30", "age < 30"),
        ('job == "clerk"', "job == 'clerk'"),
        ("`age` >= +2.5e1", "age >= 25"),
        ("`number of cars` in (1,)", None),
        (" \n age\t<\n30 ", "age < 30"),
        ("age > -1", "~(age <= -1.0)"),
    ],
)
def test_precedence_and_spaces(text: str, same: str | None, state: State) -> None:
    if same is None:
        with pytest.raises(UsageError, match="expected a number or a text, got \\)"):
            in_slice(text)
        return
    assert in_slice(text).mask(state).tolist() == in_slice(same).mask(state).tolist()


@pytest.mark.parametrize(
    ("text", "said", "column"),
    [
        ("", "expected a column, and the text ends here", 0),
        ("age", "expected < <= > >= == !=, in (...) or is missing, and the text ends here", 3),
        ("age = 3", "cannot read '='; write ==", 4),
        ("age < x", "expected a number or a text, and text stands in quotes, got x", 6),
        ("job == 'x", 'cannot read "\'"; it is opened here and never closed', 7),
        ("(age < 1", "expected a closing bracket, and the text ends here", 8),
        ("age < 1)", "expected & or |, got )", 7),
        ("age < 1 and job == 'x'", "expected & or |, got and; write &", 8),
        ("age < 1 && job == 'x'", "expected a column, got &", 9),
        ("25 < age", "expected a column, which stands before what it is compared with, got 25", 0),
        ("age in 3", "expected a bracket, as in (1, 2), got 3", 7),
        ("age is 3", "expected missing, got 3", 7),
        ("cluster(1) == 0", "a whole number of clusters of 2 or more", 0),
        ("__import__('os') == 1", "expected < <= > >= == !=, in (...) or is missing, got (", 10),
        ("(" * 200 + "age < 1" + ")" * 200, "more than 100 brackets inside each other", 100),
    ],
)
def test_what_cannot_be_read_is_shown_where_it_stands(text: str, said: str, column: int) -> None:
    with pytest.raises(UsageError, match="in_slice: ") as raised:
        in_slice(text)
    first, line, place = str(raised.value).split("\n")
    assert said in first
    assert line == f"    {text}"
    assert place == " " * (4 + column) + "^"


def test_the_place_is_shown_in_its_own_line() -> None:
    with pytest.raises(UsageError, match="in_slice: ") as raised:
        in_slice("age < 3 &\n  job @ 4")
    assert str(raised.value).split("\n")[1:] == ["      job @ 4", "          ^"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agee < 3", "no column 'agee'. There is: age, number of cars, job, v. Did you mean 'age'?"),
        ("age < 'x'", "column 'age' holds numbers, and 'x' is none"),
        ("job == 3", "column 'job' holds text, and 3 is none; write '3'"),
        ("job < 'x'", "column 'job' holds text; compare it by ==, != or in"),
        ("v is missing", "column 'v' holds vector, which cannot be compared"),
        ("label == 'a'", r"label is no column; write where\(label=...\)"),
        ("age < 3 & (job in ('x', 4))", "column 'job' holds text, and 4 is none"),
    ],
)
def test_what_does_not_fit_the_columns_is_refused(text: str, said: str, state: State) -> None:
    with pytest.raises(UsageError, match=said):
        in_slice(text).decide(state)


@pytest.mark.parametrize("text", ["age < 25 & job == 'student'", 'job == "it\'s"', "cluster(4) == 1 | ~(age > 3)"])
def test_a_slice_is_a_value(text: str) -> None:
    condition = in_slice(text)
    assert from_json(to_json(condition)) == condition
    assert eval(repr(condition), {"in_slice": in_slice}) == condition
    assert condition.needs == (frozenset({"embeddings"}) if "cluster" in text else frozenset())
    assert condition.per_record
    again = from_json(to_json(condition & ~(entropy() > 0.5)))
    assert again.needs == condition.needs | {"probabilities"}
    with pytest.raises(UsageError, match="conditions on records go into select"):
        Rule(when=condition, select=records, do=remove())


def test_a_text_is_asked_for() -> None:
    with pytest.raises(UsageError, match=r"in_slice\(3\): a condition on columns as a text"):
        in_slice(3)  # type: ignore[arg-type]


@given(st.text(max_size=8))
def test_every_name_and_text_can_be_written(text: str) -> None:
    assert in_slice(f"{quoted(text or 'x')} == {literal(text)}").needs == frozenset()


def test_selectors_take_slices(state: State) -> None:
    chosen = records.where(in_slice("age >= 40")).choose(state)
    age = np.array([row["age"] for row in state.dataset.features(chosen.ids, ["age"]).to_pylist()])
    assert len(chosen) > 0
    assert (age >= 40).all()
    assert (state.view.split[chosen.ids] == 0).all()
    missing = int((np.arange(N)[state.view.train] % 7 == 0).sum())
    assert chosen.passed_over == missing
    rest = records.where(~in_slice("age >= 40")).choose(state)
    assert len(chosen) + len(rest) + missing == state.view.train.sum()


def test_what_is_no_living_record_is_not_known(tmp_path: Path) -> None:
    state = people(tmp_path)
    state.dataset.at(-1)
    Dataset.open(state.dataset.path).commit(Changes(events(Op.REMOVE, np.array([0, 1]))))
    state = observed(Dataset.open(state.dataset.path))
    assert not in_slice("age is missing").decide(state)[1][:2].any()
    assert len(removed.where(in_slice("job != 'nobody'")).choose(state)) == 0


# -- the search ------------------------------------------------------------------------------------------------------


@given(
    st.integers(2, 400).flatmap(
        lambda n: st.tuples(
            st.just(n), st.integers(1, n - 1), st.lists(st.tuples(st.integers(1, n - 1), st.floats(0, 1)), min_size=1)
        )
    )
)
def test_the_tail_is_that_of_the_hypergeometric_distribution(
    drawn: tuple[int, int, list[tuple[int, float]]],
) -> None:
    n, errors, some = drawn
    size = np.array([s for s, _ in some], float)
    bad = np.array([round(share * min(s, errors)) for s, share in some], float)
    bad = np.maximum(bad, size - (n - errors))
    found = upper_tail(bad, size, errors, n)
    exact = hypergeom.sf(bad - 1, n, errors, size)
    looked = found < 1
    np.testing.assert_allclose(found[looked], exact[looked], rtol=1e-7, atol=1e-300)
    assert (exact[~looked] > 0.05).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_correction_is_that_of_benjamini_and_hochberg(p: list[float]) -> None:
    np.testing.assert_allclose(adjusted(np.array(p), len(p)), false_discovery_control(p), atol=1e-12)


def values(column: int, bins: int) -> Coded:
    return Coded(np.empty(0, np.int64), bins, tuple((f"x{column} == {i}", i, i + 1) for i in range(bins)))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_search_finds_what_trying_everything_finds(depth: int) -> None:
    chance = np.random.default_rng(depth)
    n, least, level = 800, 20, 0.05
    codes = chance.integers(0, 3, (4, n))
    wrong = chance.random(n) < 0.1 + 0.6 * ((codes[0] == 1) & (codes[2] == 0)) + 0.2 * (codes[1] == 2)
    columns = [Coded(row, 3, values(c, 3).conditions) for c, row in enumerate(codes)]
    tried: list[tuple[float, str, npt.NDArray[np.bool_], float]] = []
    for d in range(1, depth + 1):
        for some in itertools.combinations(range(4), d):
            for bins in itertools.product(range(3), repeat=d):
                inside = np.logical_and.reduce([codes[c] == b for c, b in zip(some, bins, strict=True)])
                if inside.sum() >= least:
                    text = " & ".join(f"x{c} == {b}" for c, b in zip(some, bins, strict=True))
                    p = hypergeom.sf((wrong & inside).sum() - 1, n, wrong.sum(), inside.sum())
                    rate = ((wrong & inside).sum() + 2) / (inside.sum() + 4)
                    sure = rate - wrong.mean() - 3 * math.sqrt(rate * (1 - rate) / (inside.sum() + 4))
                    tried.append((sure, text, inside, p))
    q = false_discovery_control([p for *_, p in tried])
    expected: list[tuple[str, int]] = []
    seen = np.zeros(n, bool)
    order = sorted(range(len(tried)), key=lambda i: -tried[i][0])
    for i in (i for i in order if q[i] <= level and tried[i][0] > 0):
        _, text, inside, _ = tried[i]
        new, rest = inside & ~seen, ~(inside | seen)
        both = new | rest
        p = hypergeom.sf((wrong & new).sum() - 1, both.sum(), (wrong & both).sum(), new.sum())
        if 2 * new.sum() >= inside.sum() and p <= level:
            expected.append((text, int(inside.sum())))
            seen |= inside
    found = search(columns, wrong, depth=depth, least=least, level=level, most=100)
    assert expected
    assert [(one.text, one.size) for one in found] == expected
    by_text = {text: value for (_, text, _, _), value in zip(tried, q, strict=True)}
    assert [one.q_value for one in found] == pytest.approx([by_text[one.text] for one in found])


@pytest.mark.parametrize("depth", [1, 2])
def test_where_errors_are_chance_nothing_is_found(depth: int) -> None:
    chance = np.random.default_rng(7)
    n, level, found = 1000, 0.05, 0
    for _ in range(100):
        columns: list[Coded] = []
        for c in range(5):
            told = [(f"x{c} < {i}", 0, i) for i in range(1, 8)] + [(f"x{c} >= {i}", i, 8) for i in range(1, 8)]
            columns.append(Coded(chance.integers(0, 8, n), 8, (*values(c, 8).conditions, *told)))
        wrong = chance.random(n) < 0.15
        found += bool(search(columns, wrong, depth=depth, least=20, level=level, most=1))
    # nothing is there, so the false-discovery rate is the chance of finding anything: 5 of 100, give or take
    assert found <= 11


def test_many_columns_are_searched_and_cost_their_looks() -> None:
    chance = np.random.default_rng(3)
    n = 3000
    codes = chance.integers(0, 4, (60, n))
    wrong = chance.random(n) < 0.1 + 0.5 * ((codes[50] == 1) & (codes[51] == 2))
    columns = [Coded(row, 4, values(c, 4).conditions) for c, row in enumerate(codes)]
    found = search(columns, wrong, depth=2, least=30, level=0.05, most=5)
    few = search([columns[50], columns[51]], wrong, depth=2, least=30, level=0.05, most=5)
    assert found[0].text == few[0].text == "x50 == 1 & x51 == 2"
    assert found[0].p_value == few[0].p_value
    assert found[0].q_value > 100 * few[0].q_value


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=300), st.integers(2, 10))
def test_cuts_have_values_on_both_sides(found: list[float], bins: int) -> None:
    at = cuts(np.array(found), bins)
    assert at == sorted(set(at))
    assert all(min(found) < cut <= max(found) for cut in at)
    assert bool(at) == (len(set(found)) > 1) or len(set(found)) > 2 * bins


def planted(folder: Path, *, n: int = 6000, order: npt.NDArray[np.int64] | None = None, **more: Any) -> State:
    """A model that is wrong of young students, and of a tenth of the others; half of each split has a label."""
    chance = np.random.default_rng(0)
    age, income = chance.integers(16, 70, n), chance.lognormal(8, 1, n)
    job = chance.choice(["clerk", "nurse", "student", "the boss's boss"], n, p=[0.4, 0.2, 0.3, 0.1])
    rare = np.array([f"text {i}" for i in range(n)])
    truth = chance.integers(0, 2, n)
    wrong = (chance.random(n) < 0.1) | ((age < 25) & (job == "student") & (chance.random(n) < 0.8))
    said = np.where(wrong, 1 - truth, truth)
    p = np.where(said[:, None] == np.arange(2), 0.9, 0.1)
    split = np.array(["train", "train", "train", "valid", "test"])[np.arange(n) % 5]
    p[split != "train"] = np.nan
    label = np.array(["no", "yes"])[truth]
    flip = more.get("flip", ())
    label[np.isin(split, flip)] = "no"
    at = np.arange(n) if order is None else order
    columns = {"age": age[at], "income": income[at], "job": job[at].tolist(), "rare": rare[at].tolist()}
    if "embeddings" in more:
        p_embeddings = np.stack([job == "student", job != "student"], axis=1) + chance.normal(0, 0.01, (n, 2))
        outputs = {"out_of_fold_probabilities": p[at], "embeddings": p_embeddings[at]}
    else:
        outputs = {"out_of_fold_probabilities": p[at]}
    labels = [x if i % 9 else None for i, x in zip(at.tolist(), label[at].tolist(), strict=True)]
    keys = [f"k{i}" for i in at.tolist()]
    split_at = split[at].tolist()
    return make_state(folder, labels, split=split_at, keys=keys, columns=columns, classes=["no", "yes"], **outputs)


def test_a_planted_slice_is_found_and_its_text_selects_it(tmp_path: Path) -> None:
    state = planted(tmp_path)
    found = find_slices(state)
    worst = found[0]
    assert "job == 'student'" in worst.text
    assert "age < " in worst.text
    assert worst.error_rate > 0.7 > 0.2 > worst.rest_rate > 0.05
    assert worst.gap == worst.error_rate - worst.rest_rate
    assert worst.q_value < 1e-20
    assert worst.q_value >= worst.p_value
    judged = state.view.train & state.view.labeled
    wrong = state.output("out_of_fold_probabilities").argmax(axis=0) != state.view.label
    for one in found:
        inside = one.condition.mask(state) & judged
        assert (inside.sum(), (inside & wrong).sum()) == (one.size, one.errors)
    assert repr(worst).startswith(f"{worst.text}: {worst.size} records, {worst.error_rate:.1%} wrong, ")
    truth = in_slice("age < 25 & job == 'student'").mask(state) & judged
    inside = worst.condition.mask(state) & judged
    assert (truth & inside).sum() / (truth | inside).sum() > 0.7


def test_held_out_labels_and_the_order_of_records_change_nothing(tmp_path: Path) -> None:
    found = find_slices(planted(tmp_path / "one"))
    assert find_slices(planted(tmp_path / "two", flip=("valid", "test"))) == found
    order = np.random.default_rng(1).permutation(6000)
    assert find_slices(planted(tmp_path / "three", order=order)) == found


def test_the_condition_follows_the_model(tmp_path: Path) -> None:
    state = planted(tmp_path)
    condition = worst_slice()
    text = find_slices(state, clusters=0)[0].text
    assert condition.mask(state).tolist() == in_slice(text).mask(state).tolist()
    assert condition.explain(state) == f'worst_slice() = "{text}"'
    unlabelled = records.where(condition, label=None).choose(state)
    assert len(unlabelled) > 0
    assert (state.view.split[unlabelled.ids] == 0).all()
    right = np.where(state.view.label[:, None] == np.arange(2), 0.9, 0.1)
    better = observed(state.dataset, ref="better", out_of_fold_probabilities=right)
    assert not condition.mask(better).any()
    assert (~condition).mask(better).all()
    assert condition.explain(better) == "worst_slice() = no slice"


def test_the_condition_is_a_value() -> None:
    for condition in (worst_slice(), worst_slice(3), worst_slice(k=2, depth=1, clusters=8)):
        assert from_json(to_json(condition)) == condition
        assert eval(repr(condition), {"worst_slice": worst_slice}) == condition
        assert condition.per_record
        assert condition.needs == {"out_of_fold_probabilities"} | ({"embeddings"} if condition.clusters else set())
    assert repr(worst_slice(k=2, depth=1)) == "worst_slice(k=2, depth=1)"


def test_several_slices_are_one_condition(tmp_path: Path) -> None:
    state = planted(tmp_path)
    found = find_slices(state, clusters=0, most=2)
    assert len(found) == 2
    either = in_slice(found[0].text) | in_slice(found[1].text)
    assert worst_slice(2).mask(state).tolist() == either.mask(state).tolist()
    assert worst_slice(2).explain(state) == f'worst_slice(k=2) = "({found[0].text}) | ({found[1].text})"'


def test_clusters_of_embeddings_are_searched_like_a_column(tmp_path: Path) -> None:
    state = planted(tmp_path, embeddings=True)
    found = find_slices(state, columns=["age"], clusters=2)
    assert "cluster(2) == " in found[0].text
    assert "age < " in found[0].text
    inside = found[0].condition.mask(state)
    assert found[0].condition.needs == {"embeddings"}
    assert (inside & state.view.train & state.view.labeled).sum() == found[0].size
    assert worst_slice(clusters=2).mask(state).any()
    one, other = (in_slice(f"cluster(2) == {i}").mask(state) for i in (0, 1))
    assert (one != other).all()
    assert one.any()
    assert not one.all()
    assert not in_slice("cluster(2) in (2, 3)").mask(state).any()
    order = np.random.default_rng(1).permutation(6000)
    twin = planted(tmp_path / "twin", embeddings=True, order=order)
    assert find_slices(twin, columns=["age"], clusters=2) == found
    assert find_slices(state, columns=["age"], clusters=0) == find_slices(state, columns=["age"], clusters=0)


def test_a_missing_number_is_a_condition(tmp_path: Path) -> None:
    n = 2000
    chance = np.random.default_rng(0)
    x = chance.normal(size=n)
    missing = chance.random(n) < 0.1
    x[missing] = np.nan
    truth = chance.integers(0, 2, n)
    said = np.where(missing & (chance.random(n) < 0.5), 1 - truth, truth)
    p = np.where(said[:, None] == np.arange(2), 0.9, 0.1)
    columns = {"an x": x}
    state = make_state(tmp_path, [["a", "b"][t] for t in truth], columns=columns, out_of_fold_probabilities=p)
    assert [one.text for one in find_slices(state)] == ["`an x` is missing"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hidden_columns_are_not_searched_unless_named(dtype: Any, tmp_path: Path) -> None:
    n = 600
    truth = np.arange(n) % 2
    table = {"label": np.array(["a", "b"])[truth], "note": (np.arange(n) % 3).astype(dtype), "x": np.ones(n, dtype)}
    dataset = Dataset.create(
        tmp_path / "d", table, label="label", hidden=["note"], durability="process", splits={"train": 1.0}
    )
    wrong = (np.arange(n) % 3 == 0) & (np.arange(n) % 4 != 0)
    p = np.where((truth ^ wrong)[:, None] == np.arange(2), 0.9, 0.1)
    state = observed(dataset, out_of_fold_probabilities=p)
    assert find_slices(state) == []
    assert [one.text for one in find_slices(state, columns=["note"])] == ["note < 1"]


def test_degenerate_states_have_no_slices(tmp_path: Path) -> None:
    n = 200
    p = np.tile([0.9, 0.1], (n, 1))
    columns = {"x": np.arange(n)}
    right = make_state(tmp_path / "1", ["a"] * n, classes=["a", "b"], columns=columns, out_of_fold_probabilities=p)
    assert find_slices(right) == []
    all_wrong = make_state(tmp_path / "2", ["b"] * n, classes=["a", "b"], columns=columns, out_of_fold_probabilities=p)
    assert find_slices(all_wrong) == []
    one = make_state(tmp_path / "3", ["a"] * n, classes=["a"], out_of_fold_probabilities=np.ones((n, 1)))
    assert find_slices(one) == []
    unknown = make_state(tmp_path / "4", ["a", "b"] * (n // 2), out_of_fold_probabilities=np.full((n, 2), np.nan))
    assert find_slices(unknown) == []
    bare = make_state(tmp_path / "5", [None] * n, classes=["a", "b"], out_of_fold_probabilities=p)
    assert find_slices(bare) == []
    assert not worst_slice().mask(bare).any()
    few = planted(tmp_path / "6")
    assert find_slices(few, min_size=10_000) == []
    assert len(find_slices(few, most=10_000)) < 100


def test_what_find_slices_cannot_do_is_refused(tmp_path: Path, state: State) -> None:
    numbers = make_state(tmp_path, [1.5, 2.5], label_kind="number")
    with pytest.raises(UsageError, match="these labels are no single class"):
        find_slices(numbers)
    with pytest.raises(UsageError, match="no model has been trained yet"):
        find_slices(state)
    other = observed(state.dataset, probabilities=np.full((N, 2), 0.5))
    with pytest.raises(NotFound, match="has no out_of_fold_probabilities"):
        find_slices(other)
    judged = observed(state.dataset, ref="m2", out_of_fold_probabilities=np.tile([0.9, 0.1], (N, 1)))
    with pytest.raises(UsageError, match=r"no column 'agee' of text or numbers.*Did you mean 'age'"):
        find_slices(judged, columns=["agee"])
    for wrong, said in (
        ({"depth": 4}, "1, 2 or 3"),
        ({"clusters": 1}, "2 or more, or 0"),
        ({"level": 0}, "between 0 and 1"),
        ({"most": 0}, "most"),
        ({"min_size": 0}, "min_size"),
    ):
        with pytest.raises(UsageError, match=said):
            find_slices(judged, **wrong)
    with pytest.raises(UsageError, match=r"worst_slice\(k=...\) is a whole number of 1 or more, got 0"):
        worst_slice(0)


@pytest.mark.parametrize("k", [1, 3, 50])
def test_clusters_are_the_nearest_centers(k: int) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    rows[3] = np.nan
    found = centers(rows[~np.isnan(rows[:, 0])], np.random.default_rng(1).random((k, 2)))
    own = nearest(rows, found)
    assert len(found) <= min(k, 39)
    apart = ((rows[:, None].astype(np.float64) - found) ** 2).sum(axis=2)
    for i in range(40):
        assert own[i] == -1 if i == 3 else apart[i, own[i]] == pytest.approx(apart[i].min(), abs=1e-5)
    assert len(centers(np.ones((5, 2), np.float32), np.random.default_rng(1).random((4, 2)))) == 1
