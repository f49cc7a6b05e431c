"""Splits and draws depend on keys alone: not on order, not on what else there is, not on the machine."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilth.dataset.schema import SPLITS
from tilth.dataset.splits import assign_splits, draw, key_hashes, uniform
from tilth.errors import UsageError

KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=60, unique=True)
SHARES = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)).filter(any)


def hashes(keys: list[str]) -> npt.NDArray[np.uint64]:
    return key_hashes(pa.array(keys, pa.string()))


def fractions_of(shares: tuple[int, ...]) -> dict[str, float]:
    return {name: share / sum(shares) for name, share in zip(SPLITS, shares, strict=True)}


def test_hashes_are_those_of_blake2b_on_every_machine() -> None:
    wanted = [13020603013274838756, 904424096894533348]
    assert hashes(["", "cat/1.png"]).tolist() == wanted
    chunked = pa.chunked_array([pa.array([""], pa.string()), pa.array(["cat/1.png"], pa.string())])
    assert key_hashes(chunked).tolist() == wanted
    assert key_hashes(pa.array(["x", "", "cat/1.png"], pa.large_string()).slice(1)).tolist() == wanted
    assert key_hashes(pa.array([], pa.string())).tolist() == []


def test_draws_are_fixed_and_differ_by_salt() -> None:
    h = hashes([str(i) for i in range(1000)])
    assert np.array_equal(draw(h, "a", 1), draw(h, "a", 1))
    salts = [(), ("a",), ("b",), (1,), ("1",), ("ab", "c"), ("a", "bc"), ("a", 1), ("a", -1)]
    draws = np.stack([draw(h, *salt) for salt in salts])
    assert len(np.unique(draws)) == draws.size
    # Draws of one salt tell nothing of those of another: both halves of the bits agree as often as coins do.
    bits = np.unpackbits(draws.view(np.uint8).reshape(len(salts), -1), axis=1)
    assert abs((bits[1] == bits[2]).mean() - 0.5) < 0.01
    with pytest.raises(UsageError, match="takes the uint64"):
        draw(h.astype(np.int64), "a")  # type: ignore[arg-type]


def test_uniform_numbers_are_spread_evenly() -> None:
    u = uniform(hashes([str(i) for i in range(20_000)]), "spread")
    assert u.dtype == np.float64
    assert u.min() >= 0
    assert u.max() < 1
    counts, _ = np.histogram(u, bins=20, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8, "chi-square, 19 degrees of freedom, 0.1 %"


def test_whole_numbers_of_numpy_are_salts_as_well() -> None:
    h = hashes(["a"])
    assert draw(h, np.int64(3)).tolist() == draw(h, 3).tolist()  # type: ignore[arg-type]


@given(keys=KEYS, shares=SHARES, seed=st.integers(0, 5), data=st.data())
def test_order_changes_nothing(keys: list[str], shares: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(keys)))))
    strata = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=len(keys), max_size=len(keys))))
    h, fractions = hashes(keys), fractions_of(shares)
    for given_strata in (None, strata):
        there = assign_splits(h, fractions=fractions, seed=seed, strata=given_strata)
        moved = None if given_strata is None else given_strata[order]
        assert np.array_equal(assign_splits(h[order], fractions=fractions, seed=seed, strata=moved), there[order])


@given(keys=KEYS, shares=SHARES, data=st.data())
def test_new_records_move_no_others(keys: list[str], shares: tuple[int, ...], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(keys)))
    h, fractions = hashes(keys), fractions_of(shares)
    assert np.array_equal(assign_splits(h[:cut], fractions=fractions), assign_splits(h, fractions=fractions)[:cut])


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12), shares=SHARES, seed=st.integers(0, 3))
def test_strata_meet_their_shares(sizes: list[int], shares: tuple[int, ...], seed: int) -> None:
    strata = np.repeat(np.arange(len(sizes)) - 1, sizes)
    fractions = fractions_of(shares)
    splits = assign_splits(hashes([str(i) for i in range(len(strata))]), fractions=fractions, seed=seed, strata=strata)
    assert splits.dtype == np.int8
    for stratum, size in enumerate(sizes):
        counts = np.bincount(splits[strata == stratum - 1], minlength=3)
        wanted = np.array([fractions[name] * size for name in SPLITS])
        if shares[0]:
            assert counts[0] >= 1, "what no model sees cannot be learned"
        if wanted[0] >= 1 or not shares[0]:
            assert (np.abs(counts - wanted) < 1 + 1e-9).all()
        assert not counts[np.array(shares) == 0].any(), "a split without a share gets nothing"


def test_many_small_strata_meet_the_shares_of_the_whole() -> None:
    strata = np.repeat(np.arange(100), 4)
    splits = assign_splits(hashes([str(i) for i in range(400)]), strata=strata)
    assert np.bincount(splits).tolist() == [320, 40, 40]


def test_shares_without_strata_are_met_by_chance() -> None:
    splits = assign_splits(hashes([str(i) for i in range(20_000)]), fractions={"train": 0.5, "test": 0.5})
    assert abs((splits == 0).mean() - 0.5) < 0.015
    assert not (splits == 1).any()


def test_seeds_split_otherwise() -> None:
    h = hashes([str(i) for i in range(1000)])
    assert (assign_splits(h, seed=1) != assign_splits(h, seed=2)).any()


def test_fractions_may_miss_one_by_a_rounding() -> None:
    h = hashes([str(i) for i in range(1000)])
    assert set(assign_splits(h, fractions={"train": 1 / 3, "valid": 1 / 3, "test": 0.3333333})) == {0, 1, 2}
    assert set(assign_splits(h, fractions={"train": 1.0})) == {0}
    assert assign_splits(h[:0], strata=np.array([], dtype=np.int32)).tolist() == []


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"train": 0.8, "vaild": 0.2}, "no split 'vaild'. .*Did you mean 'valid'"),
        ({"train": 1.2, "test": -0.2}, "the share of 'train' is 1.2"),
        ({"train": float("nan")}, "the share of 'train' is nan"),
        ({"train": 0.8}, "must sum to 1; .* sums to 0.8"),
        ({}, "must sum to 1"),
    ],
)
def test_fractions_that_mean_nothing_are_refused(fractions: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        assign_splits(hashes(["a"]), fractions=fractions)


@pytest.mark.parametrize("strata", [np.array([1, 2]), np.array([0.5])])
def test_strata_are_one_code_for_each_record(strata: npt.NDArray[np.float64]) -> None:
    with pytest.raises(UsageError, match="a label code for each record"):
        assign_splits(hashes(["a"]), strata=strata)
