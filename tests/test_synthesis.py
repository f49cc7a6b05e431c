"""Records that did not exist: how they are made, which are kept, and what becomes of them."""

import io
import json
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.io.wavfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression

from tests import launching, synthesis_program
from tests.states import make_state
from tests.synthesis_program import blobs
from tilth import Rule, Run, Workflow, agrees, apart, label_quality, labeled, rounds, run, synthesise, wanted
from tilth.algebra import from_json, to_json
from tilth.changes import Changes
from tilth.dataset import Dataset
from tilth.demo.data import digits
from tilth.errors import NotFound, RunFailed, UsageError
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Want
from tilth.selectors import Chosen
from tilth.state import State
from tilth.synthesis import (
    Interpolation,
    Mixture,
    Transforms,
    brightness,
    change_case,
    crop,
    drop_words,
    flip,
    gain,
    noise,
    rotate,
    shift,
    swap_words,
)
from tilth.testing import check_action, check_generator
from tilth.training import fitted_model, train

MODEL = SklearnModel(LogisticRegression())
EVERY = frozenset({"out_of_fold_probabilities"})


def trained(dataset: Dataset, *, keep: bool = True) -> State:
    """Return the state of a dataset with a trained model."""
    at = dataset.at(-1)
    workflow = Workflow(dataset=dataset, model=MODEL, rules={}, until=rounds() >= 1)
    ref = train(at, MODEL, workflow.judge, needs=EVERY, seed=0, keep=keep)["ref"]
    return workflow.state(at.version, ref)


def proposed(state: State, select: Any, do: Any) -> Changes:
    Rule(select=select, do=do)
    return do.propose(select.choose(state), state)


def workflow(dataset: Dataset, select: Any, do: Any) -> Workflow:
    return Workflow(dataset=dataset, model=MODEL, rules={"grow": Rule(select=select, do=do)}, until=rounds() >= 1)


# -- the whole way ----------------------------------------------------------------------------------------------------


def test_a_rule_makes_records_where_the_model_is_wrong(tmp_path: Path) -> None:
    dataset = digits(tmp_path / "digits", seed=0, noise=0.0, share=0.3)
    done = run(workflow(dataset, wanted(30, per="label"), synthesise(by=Interpolation())), inline=True)
    told = done.rounds[0].rules["grow"]
    assert told["n"] == 30
    assert "accepted 30 of" in told["why"]
    assert dataset.log()[-1].message == told["why"]
    view, new = dataset.view, np.flatnonzero(dataset.parent >= 0)
    assert len(new) == 30
    assert view.train[new].all()
    assert (view.label[new] == view.label[dataset.parent[new]]).all()
    assert (view.split[dataset.parent[new]] == 0).all()
    rows = dataset.features(new)
    assert rows["truth"].to_pylist() == dataset.features(dataset.parent[new])["truth"].to_pylist()
    event = dataset.history(dataset.keys(new[:1])[0])[0]
    assert "made by Interpolation(k=5)" in event.reason
    assert "the model is wrong in" in event.reason


def test_what_was_rolled_back_is_made_again_and_what_was_kept_is_followed_by_others(tmp_path: Path) -> None:
    dataset = blobs(tmp_path)
    select, do = wanted({"a": 5, "b": 5}), synthesise(by=Interpolation(), keep=[apart()])

    def grow() -> set[str]:
        before = set(dataset.keys(np.flatnonzero(dataset.view.alive)))
        dataset.commit(proposed(trained(dataset), select, do))
        return set(dataset.keys(np.flatnonzero(dataset.view.alive))) - before

    first = grow()
    assert len(first) == 10
    digest = dataset.digest()
    dataset.revert(dataset.version)
    assert grow() == first
    assert dataset.digest() == digest
    second = grow()
    assert len(second) == 10
    assert not second & first


def test_a_made_record_is_never_an_example(tmp_path: Path) -> None:
    dataset = blobs(tmp_path)
    do = synthesise(by=Interpolation(), keep=[])
    dataset.commit(proposed(trained(dataset), wanted(40, label="a"), do))
    again = proposed(trained(dataset), wanted(40, label="a"), do)
    assert (dataset.parent[again.parents()] < 0).all()
    chosen = proposed(trained(dataset), labeled, synthesise(40, by=Interpolation(), keep=[]))
    assert (dataset.parent[chosen.parents()] < 0).all()


def test_a_selector_says_which_records_are_the_examples(tmp_path: Path) -> None:
    state = trained(blobs(tmp_path))
    hard = labeled.bottom(6, by=label_quality(by="model"))
    made = proposed(state, hard, synthesise(20, by=Interpolation(k=2), keep=[]))
    assert made.count == 20
    assert set(made.parents().tolist()) <= set(hard.choose(state).ids.tolist())


def test_it_keeps_the_promises_of_actions(tmp_path: Path) -> None:
    state = trained(blobs(tmp_path))
    check_action(synthesise(8, by=Interpolation()), state, labeled)
    check_action(synthesise(8, by=Mixture(components=2), keep=[agrees(0.6)], tries=3), state, labeled)


# -- what is kept -----------------------------------------------------------------------------------------------------


def far_and_near(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    """Make of the first example a copy, one that is far away, one beyond the other class, and one between two."""
    x = np.array(exemplars["x"].to_pylist(), np.float32)
    new = np.stack([x[0] + 1e-6, x[0] + 1000, x[0], (x[0] + x[1]) / 2])
    new[2] = 4.0 if want.label == "a" else 0.0
    column = pa.FixedSizeListArray.from_arrays(pa.array(new[:n].ravel()), 2)
    return pa.table({"x": column, "parent": np.zeros(min(n, 4), np.int64)})


def test_copies_outliers_and_what_the_model_disagrees_with_are_told_apart(tmp_path: Path) -> None:
    state = trained(blobs(tmp_path))
    made = proposed(state, wanted(4, label="a"), synthesise(by=far_and_near, tries=1, keep=[agrees(0.5), apart()]))
    assert made.count == 1
    # what is far away from a lies beyond b, which is the first thing that is wrong with it
    assert made.note == "accepted 1 of 4 (1 copies, 2 the model disagreed)"
    loose = proposed(state, wanted(4, label="a"), synthesise(by=far_and_near, tries=1, keep=[apart(copy=0)]))
    assert loose.note == "accepted 2 of 4 (2 far from all examples)"


def test_the_bar_of_agreement_can_be_set(tmp_path: Path) -> None:
    state = trained(blobs(tmp_path, apart_by=1.0))
    kept = {
        p: proposed(state, wanted(50, label="a"), synthesise(by=Interpolation(), keep=[agrees(p)], tries=1)).count
        for p in (0.2, 0.6, 0.999)
    }
    assert kept[0.2] > kept[0.6] > kept[0.999] == 0
    model = fitted_model(state.dataset, state.outputs)[1]  # pyright: ignore[reportArgumentType]
    found = proposed(state, wanted(50, label="a"), synthesise(by=Interpolation(), keep=[agrees(0.6)]))
    assert (model.predict(found.added.select(["x"]))[:, 0] >= 0.6).all()
    assert np.allclose(found.events["score"].to_numpy(), model.predict(found.added.select(["x"]))[:, 0])


def test_the_needs_say_what_is_read_of_the_model() -> None:
    select = wanted(4, label="a")
    needs = {
        keep: Rule(select=select, do=synthesise(by=Interpolation(), keep=list(keep))).needs
        for keep in ((), (agrees(0.5),), (agrees(),), (apart(),), (apart(by="embeddings"),))
    }
    assert list(needs.values()) == [set(), {"probabilities"}, {"probabilities", *EVERY}, set(), {"embeddings"}]


def test_distance_by_embeddings(tmp_path: Path) -> None:
    dataset = blobs(tmp_path)
    at = dataset.at(-1)
    flow = Workflow(dataset=dataset, model=MODEL, rules={}, until=rounds() >= 1)
    ref = train(at, MODEL, flow.judge, needs={"embeddings"}, seed=0, keep=True)["ref"]
    state = flow.state(at.version, ref)
    do = synthesise(by=far_and_near, tries=1, keep=[apart(by="embeddings")])
    assert proposed(state, wanted(4, label="a"), do).note == ("accepted 1 of 4 (1 copies, 2 far from all examples)")


def anywhere(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    age = np.random.default_rng(seed).uniform(0, 100, n)
    return pa.table({"age": age, "parent": np.zeros(n, np.int64)})


def test_what_is_outside_the_slice_is_not_kept(tmp_path: Path) -> None:
    state = make_state(tmp_path, ["a", "b"] * 20, columns={"age": np.arange(40.0)})
    found = proposed(state, wanted(5, label="a", within="age < 20"), synthesise(by=anywhere, keep=[], tries=50))
    assert max(found.added["age"].to_pylist()) < 20
    assert "outside the slice" in found.note


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> State:
    return trained(blobs(tmp_path_factory.mktemp("shared"), apart_by=2.0))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_counts_are_met_or_it_is_said_why_not(data: st.DataObject, shared: State) -> None:
    quotas = data.draw(st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 25), min_size=1))
    tries = data.draw(st.integers(1, 3))
    found = proposed(shared, wanted(quotas), synthesise(by=Interpolation(), tries=tries))
    made = [shared.classes[code] for code in found.added["label0"].to_pylist()] if found.added is not None else []
    told = re.match(r"accepted (\d+) of (\d+)(?: \((.*?)\))?", found.note)
    assert told is not None
    lost = sum(int(part.split(" ")[0]) for part in told[3].split(", ")) if told[3] else 0
    assert (int(told[1]), int(told[2])) == (len(made), len(made) + lost)
    for name, n in quotas.items():
        assert made.count(name) <= n
        if made.count(name) < n and len(quotas) > 1:
            assert f"{made.count(name)} of {n} record" in found.note
    assert set(found.parents()) <= set(np.flatnonzero(shared.view.train))


# -- the model, on records that are not in the dataset ----------------------------------------------------------------


def test_a_model_that_was_not_kept_is_trained_again(tmp_path: Path) -> None:
    dataset = blobs(tmp_path)
    state = trained(dataset, keep=False)
    assert state.outputs is not None
    dataset.commit(proposed(state, wanted(3, label="a"), synthesise(by=Interpolation(), keep=[])))
    later = State(dataset.at(-1), state.outputs)  # an earlier rule of the round has changed the data
    other = blobs(tmp_path / "other", seed=1)
    trained(other, keep=False)  # this process holds on to the last model only
    model = fitted_model(later.dataset, state.outputs)[1]
    ids = np.flatnonzero(state.view.alive)
    said = model.predict(state.dataset.features(ids, ["x"]))
    assert np.allclose(said.T, state.probabilities[:, ids], atol=1e-6)
    with pytest.raises(NotFound, match="was not kept"):
        fitted_model(other, state.outputs)


def test_without_a_model_nothing_can_be_agreed_with(tmp_path: Path) -> None:
    state = make_state(tmp_path, ["a", "b"] * 5)
    with pytest.raises(UsageError, match="no model has been trained"):
        proposed(state, wanted(3, label="a"), synthesise(by=Interpolation(), keep=[agrees(0.5)]))
    assert proposed(state, wanted(3, label="a"), synthesise(by=Interpolation(), keep=[apart()])).count == 3


# -- bad input --------------------------------------------------------------------------------------------------------


def raises(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    raise ZeroDivisionError("division by zero")


def no_table(want: Want, exemplars: pa.Table, n: int, seed: int) -> Any:
    return exemplars.to_pylist()


def lacks_a_column(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    return exemplars.slice(0, n)


def has_nan(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    x = pa.FixedSizeListArray.from_arrays(pa.array(np.full(2 * n, np.nan, np.float32)), 2)
    return pa.table({"x": x, "parent": np.zeros(n, np.int64)})


def has_nulls(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    return pa.table({"x": pa.nulls(n, pa.list_(pa.float32(), 2)), "parent": np.zeros(n, np.int64)})


def too_many(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    return Interpolation().generate(want, exemplars, n + 1, seed)


def wrong_type(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    return pa.table({"x": ["text"] * n, "parent": np.zeros(n, np.int64)})


def no_such_parent(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    rows = Interpolation().generate(want, exemplars, n, seed)
    return rows.set_column(1, "parent", pa.array(np.full(n, 10_000)))


NEVER = threading.Event()


def hangs(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    NEVER.wait()
    return exemplars


BAD: dict[Callable[..., Any], str] = {
    raises: "raises failed to make 5 records of class a: ZeroDivisionError: division by zero",
    no_table: "returned list; a generator returns a pyarrow Table",
    lacks_a_column: "returned the columns x; expected were those of the examples and parent: x, parent",
    has_nan: "returned NaN or infinite numbers in column 'x'",
    has_nulls: r"returned nothing \(null\) in column 'x' of 5 rows",
    too_many: "returned 6 rows where 5 were asked for",
    wrong_type: "returned values that do not fit their columns",
    no_such_parent: "returned a parent that is none of the rows 0 to",
    hangs: r"hangs took longer than 0\.1 s to make 5 records of class a",
}


@pytest.mark.parametrize(("by", "match"), BAD.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_a_bad_generator_is_named_and_nothing_is_changed(by: Any, match: str, tmp_path: Path) -> None:
    dataset = blobs(tmp_path)
    do = synthesise(by=by, timeout=0.1 if by is hangs else 60.0)
    with pytest.raises(RunFailed, match=f"Rule 'grow': .*{match}"):
        run(workflow(dataset, wanted(5, label="a"), do), inline=True)
    assert dataset.version == 0
    with pytest.raises(AssertionError, match="spec and generate"):
        check_generator(by)


def test_a_run_goes_on_once_the_generator_is_mended(tmp_path: Path) -> None:
    dataset = blobs(tmp_path)
    with pytest.raises(RunFailed, match="ZeroDivisionError"):
        run(workflow(dataset, wanted(5, label="a"), synthesise(by=raises)), inline=True)
    done = run(workflow(dataset, wanted(5, label="a"), synthesise(by=Interpolation())), inline=True, adopt=True)
    assert done.state == "done"


def gives_fewer(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    return Interpolation().generate(want, exemplars, n // 2, seed)


def gives_none(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    return Interpolation().generate(want, exemplars, 0, seed)


def test_a_generator_may_give_fewer_and_that_is_told(tmp_path: Path) -> None:
    state = trained(blobs(tmp_path))
    few = proposed(state, wanted(8, label="a"), synthesise(by=gives_fewer, keep=[], tries=2))
    assert few.count == 8
    none = proposed(state, wanted(8, label="a"), synthesise(by=gives_none))
    assert none.count == 0
    assert none.note == "accepted 0 of 0; 0 of 8 records of class a, of 8 asked for 0 were made"


def test_classes_with_one_example_or_none_are_told_and_the_others_made(tmp_path: Path) -> None:
    state = make_state(tmp_path, ["a"] * 5 + ["b"], classes=["a", "b", "c"])
    found = proposed(state, wanted({"a": 2, "b": 2, "c": 2}), synthesise(by=Interpolation(), keep=[]))
    assert found.count == 2
    assert "0 of 2 records of class b, of 2 asked for 0 were made" in found.note
    assert "no example of 2 records of class c" in found.note


def test_a_dataset_without_labels_or_of_one_class_changes_nothing(tmp_path: Path) -> None:
    empty = make_state(tmp_path, [None, None], classes=["a"])
    assert proposed(empty, wanted(3, label="a"), synthesise(by=Interpolation(), keep=[])).count == 0
    dataset = make_state(tmp_path / "one", ["a"] * 10, split=["train"] * 8 + ["valid"] * 2).dataset
    done = run(
        workflow(Dataset.open(dataset.path), wanted(5, per="label"), synthesise(by=Interpolation())), inline=True
    )
    assert "the model is wrong nowhere" in done.rounds[0].rules["grow"]["why"] or done.rounds[0].rules["grow"]["n"] == 0


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: synthesise(by=Interpolation), "a generator such as Interpolation"),
        (lambda: synthesise(by=3), "got int"),
        (lambda: synthesise(by=lambda *given: given[1]), "a lambda cannot be found again"),
        (lambda: synthesise(0, by=Interpolation()), "1 or more"),
        (lambda: synthesise(by=Interpolation(), keep=[0.5]), "agrees"),
        (lambda: synthesise(by=Interpolation(), tries=0), "1 or more"),
        (lambda: synthesise(by=Interpolation(), timeout=0), "above 0"),
        (lambda: agrees(0), "above 0 and up to 1"),
        (lambda: agrees(2), "above 0 and up to 1"),
        (lambda: apart(copy=1), "from 0 to below 1"),
        (lambda: apart(outlier=0), "above 0 and up to 1"),
        (lambda: apart(by="pixels"), "There is: features, embeddings"),
        (lambda: Interpolation(k=0), "1 or more"),
        (lambda: Mixture(0), "1 or more"),
        (lambda: Transforms([]), "a list of steps"),
        (lambda: Transforms(flip()), "a list of steps"),
        (lambda: rotate(0), "up to 180"),
        (lambda: crop(1.5), "up to 1"),
    ],
)
def test_what_cannot_mean_anything_is_refused_when_it_is_written(call: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        call()


# -- a crash ----------------------------------------------------------------------------------------------------------


@pytest.mark.crash
def test_killed_between_making_and_committing_nothing_is_asked_twice(tmp_path: Path) -> None:
    """The generator answers differently each time, so a record that is there was made by the one call."""
    calls = tmp_path / "calls.txt"
    dataset = blobs(tmp_path)
    program, out = str(Path(synthesis_program.__file__)), tmp_path / "out"
    points = ("inside r0/grow/propose", "after r0/grow/propose", "before r0/grow/commit", "inside r0/grow/commit")
    asked = ""
    for point in points:
        code, told = launching.launch(launching.as_program, program, str(dataset.path), out=out, kill=point)
        assert code == -signal.SIGKILL, told
        asked = asked or calls.read_text()
    code, told = launching.launch(launching.as_program, program, str(dataset.path), out=out)
    assert code == 0, told
    assert calls.read_text() == asked
    assert asked.count("of class a") >= 1
    made = np.flatnonzero(dataset.parent >= 0)
    assert len(made) == 10
    assert Run(dataset).state == "done"


# -- generators -------------------------------------------------------------------------------------------------------

MIXED = pa.table(
    {
        "age": [20.0, 25.0, 31.0, 40.0, 44.0, 60.0],
        "children": [0, 1, 2, 2, 3, 5],
        "job": ["smith", "smith", "baker", "baker", "smith", "smith"],
        "x": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(18, dtype=np.float32)), 3),
    }
)
TEXTS = pa.table({"text": ["how far is the moon", "who wrote hamlet then", "where do cats sleep at noon"]})


def pictures(mode: str = "RGB", n: int = 3) -> pa.Table:
    chance, cells = np.random.default_rng(0), []
    for _ in range(n):
        file = io.BytesIO()
        pixels = chance.integers(0, 256, (12, 16, 3) if mode == "RGB" else (12, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        cells.append(file.getvalue())
    return pa.table({"image": pa.array(cells, pa.large_binary()), "name": [f"p{i}" for i in range(n)]})


def sounds(dtype: Any = np.int16) -> pa.Table:
    cells = []
    for tone in (0.1, 0.2):
        file = io.BytesIO()
        wave = np.sin(np.arange(800) * tone)
        scipy.io.wavfile.write(file, 8000, (wave * 8000).astype(np.int16) if dtype == np.int16 else wave.astype(dtype))
        cells.append(file.getvalue())
    return pa.table({"sound": pa.array(cells, pa.large_binary())})


PICTURE = [flip(), rotate(10), shift(0.1), crop(0.8), brightness(0.3), noise(0.05)]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        (Interpolation(k=2), None),
        (Interpolation(k=2), MIXED),
        (Mixture(components=2), None),
        (Mixture(), MIXED),
        (Transforms(PICTURE), pictures()),
        (Transforms(PICTURE, column="image"), pictures("L")),
        (Transforms([gain(3), shift(0.2), noise(0.1)]), sounds()),
        (Transforms([drop_words(0.3), swap_words(2), change_case()]), TEXTS),
    ],
    ids=repr,
)
def test_the_shipped_generators_keep_their_promises(by: Any, rows: pa.Table | None) -> None:
    check_generator(by, exemplars=rows)
    assert from_json(json.loads(json.dumps(to_json(by)))) == by


class Forgetful:
    """A generator that is described by less than it is."""

    def __init__(self, k: int = 5) -> None:
        self.k = k
        self.calls = 0

    @property
    def spec(self) -> dict[str, Any]:
        return {"generator": f"{__name__}:Forgetful"}

    @classmethod
    def from_spec(cls, _: dict[str, Any]) -> "Forgetful":
        return cls()

    def __repr__(self) -> str:
        return f"Forgetful({self.k})"

    def generate(self, want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
        self.calls += 1
        return Interpolation().generate(want, exemplars, n, seed + self.calls)


def test_broken_promises_are_found() -> None:
    with pytest.raises(AssertionError, match="its spec leaves something out"):
        check_generator(Forgetful(7))
    with pytest.raises(AssertionError, match="made other rows when asked the same again"):
        check_generator(Forgetful())


cell = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(cell, st.integers(-1000, 1000), st.sampled_from("xyz")), min_size=2, max_size=12),
    st.integers(0, 30),
    st.integers(1, 6),
    st.integers(0, 2**40),
)
def test_interpolated_records_lie_between_examples(
    rows: list[tuple[float, int, str]], n: int, k: int, seed: int
) -> None:
    table = pa.table({"a": [r[0] for r in rows], "b": [r[1] for r in rows], "c": [r[2] for r in rows]})
    new = Interpolation(k=k).generate(Want(n), table, n, seed)
    assert new.num_rows == n
    for i, row in enumerate(new.to_pylist()):
        parent = rows[row["parent"]]
        assert row["parent"] == i % len(rows)  # in turn, the best first
        between = [
            mate
            for j, mate in enumerate(rows)
            if j != row["parent"]
            and min(parent[0], mate[0]) <= row["a"] <= max(parent[0], mate[0])
            and min(parent[1], mate[1]) <= row["b"] <= max(parent[1], mate[1])
        ]
        assert between
        assert row["c"] in {r[2] for r in rows}


def test_interpolation_finds_neighbours_in_each_columns_own_spread() -> None:
    # in metres and millimetres: the near ones of 0 are 1 and 2, whatever the second column is measured in
    table = pa.table({"m": [0.0, 1.0, 2.0, 50.0, 51.0], "mm": [0.0, 900.0, 2100.0, 50.0, 51_000.0]})
    new = Interpolation(k=1).generate(Want(200), table, 200, 0).to_pylist()
    assert {round(r["m"]) for r in new if r["parent"] == 0} <= {0, 1}


def test_what_an_example_lacks_stays_missing_and_does_not_spread() -> None:
    table = pa.table({"a": [1.0, np.nan, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0]})
    for by in (Interpolation(k=3), Mixture(components=1)):
        new = by.generate(Want(40), table, 40, 0).to_pylist()
        assert all(np.isnan(r["a"]) == (r["parent"] == 1) for r in new)
        assert any(r["parent"] == 1 for r in new)


def test_a_density_has_the_examples_shape() -> None:
    chance = np.random.default_rng(0)
    x = np.concatenate([chance.normal(0, 1, (60, 2)), chance.normal(20, 1, (60, 2))]).astype(np.float32)
    table = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 2)})
    new = np.array(Mixture().generate(Want(400), table, 400, 0)["x"].to_pylist())
    assert ((new < 6).all(axis=1) | (new > 14).all(axis=1)).all()  # nothing between the two clouds
    assert 120 < (new < 6).all(axis=1).sum() < 280
    assert (new >= x.min(axis=0)).all()
    assert (new <= x.max(axis=0)).all()


@pytest.mark.parametrize("by", [Interpolation(), Mixture()], ids=repr)
@pytest.mark.parametrize(
    ("rows", "match"), [(TEXTS, "free text|holds"), (pictures(n=20), "holds files")], ids=["text", "image"]
)
def test_free_text_and_files_are_refused_with_what_does(by: Any, rows: pa.Table, match: str) -> None:
    many = pa.table({"text": [f"a text that nobody wrote twice, number {i}" for i in range(30)]})
    with pytest.raises(UsageError, match=match):
        by.generate(Want(2), many if rows is TEXTS else rows, 2, 0)


def test_pictures_keep_their_size_and_colours() -> None:
    for mode in ("RGB", "L"):
        rows = pictures(mode)
        new = Transforms(PICTURE).generate(Want(6), rows, 6, 3)
        assert new["name"].to_pylist() == ["p0", "p1", "p2", "p0", "p1", "p2"]
        for cell in new["image"].to_pylist():
            with Image.open(io.BytesIO(cell)) as image:
                assert (image.size, image.mode) == ((16, 12), mode)
        assert len(set(new["image"].to_pylist())) == 6


def test_a_mirrored_picture_is_mirrored_or_the_same() -> None:
    rows = pictures("L", n=1)
    old = np.asarray(Image.open(io.BytesIO(rows["image"][0].as_py())))
    new = Transforms([flip()]).generate(Want(20), rows, 20, 0)
    found = [np.asarray(Image.open(io.BytesIO(cell))) for cell in new["image"].to_pylist()]
    same = [np.array_equal(one, old) for one in found]
    assert all(s or np.array_equal(one, old[:, ::-1]) for s, one in zip(same, found, strict=True))
    assert 0 < sum(same) < 20


def test_sounds_keep_their_rate_format_and_length() -> None:
    for dtype in (np.int16, np.float32):
        rows = sounds(dtype)
        for steps in ([gain(6)], [shift(0.5)], [noise(0.1)]):
            new = Transforms(steps).generate(Want(2), rows, 2, 0)
            for old, cell in zip(rows["sound"].to_pylist(), new["sound"].to_pylist(), strict=True):
                (rate, a), (again, b) = (scipy.io.wavfile.read(io.BytesIO(c)) for c in (old, cell))
                assert (rate, a.dtype, a.shape) == (again, b.dtype, b.shape)
                assert not np.array_equal(a, b)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5), min_size=1, max_size=8),
    st.integers(0, 99),
)
def test_texts_keep_their_words(words: list[str], seed: int) -> None:
    rows = pa.table({"text": [" ".join(words)]})
    swapped = Transforms([swap_words(3)]).generate(Want(1), rows, 1, seed)["text"][0].as_py().split()
    assert sorted(swapped) == sorted(" ".join(words).split())
    dropped = Transforms([drop_words(0.9)]).generate(Want(1), rows, 1, seed)["text"][0].as_py().split()
    assert 1 <= len(dropped) <= len(words)
    assert set(dropped) <= set(words)


@pytest.mark.parametrize(
    ("by", "rows", "match"),
    [
        (Transforms([flip()]), TEXTS, r"flip\(\) is for image; there is text \(text\)"),
        (Transforms([gain()]), pictures(), r"gain\(6\) is for audio"),
        (Transforms([flip()], column="imgae"), pictures(), "Did you mean 'image'"),
        (Transforms([swap_words()]), pa.table({"a": ["x y"], "b": ["x y"]}), "say which, by column=\"?'?a"),
        (
            Transforms([flip()]),
            pa.table({"image": pa.array([b"no image"], pa.large_binary())}),
            "image of example 0 cannot be read",
        ),
    ],
)
def test_steps_for_something_else_are_refused(by: Any, rows: pa.Table, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        by.generate(Want(1), rows, 1, 0)


def test_chosen_without_wants_has_all_as_examples() -> None:
    chosen = Chosen(np.array([4, 2]), None, None, "two")
    assert chosen.examples(0).tolist() == [4, 2]
