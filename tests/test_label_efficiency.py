"""What the study of label efficiency makes of its curves, and that its loop is what a run does."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.label_efficiency.arms import CASES, arms
from bench.label_efficiency.report import area, holm, results, to_target
from bench.label_efficiency.trial import same_curves

CASE = replace(CASES["digits"], arms=("random", "margin", "entropy"), sizes=())


def curve(*accuracy: float) -> dict[str, object]:
    return {"labels": [10, 20, 40], "accuracy": list(accuracy), "rare": [], "choosing": 0.01}


def test_labels_to_the_target_lie_on_the_line_between_two_rounds() -> None:
    assert to_target(curve(0.5, 0.7, 0.9), 0.8) == pytest.approx(30)
    assert to_target(curve(0.5, 0.7, 0.9), 0.7) == pytest.approx(20)
    assert to_target(curve(0.5, 0.7, 0.9), 0.4) == 10
    assert to_target(curve(0.5, 0.7, 0.9), 0.95) == float("inf")
    assert to_target(curve(0.5, 0.9, 0.6), 0.8) == pytest.approx(17.5)  # the first time counts


def test_the_area_is_the_mean_height_over_the_labels() -> None:
    assert area(curve(0.5, 0.5, 0.5)) == pytest.approx(0.5)
    assert area(curve(0.0, 0.6, 0.6)) == pytest.approx((0.3 * 10 + 0.6 * 20) / 30)


def test_p_values_are_corrected_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_seed_that_never_gets_there_counts_with_all_that_it_bought() -> None:
    def trial(better: float) -> dict[str, object]:
        curves = {"random": curve(0.5, 0.6, 0.7), "margin": curve(0.5, 0.7 + better, 0.9)}
        return {"full": 0.8 / 0.95, "starts": {}, "curves": curves}

    first, second = results(CASE, {str(seed): trial(seed / 100) for seed in range(6)})
    assert (first.arm, first.reached, first.labels) == ("random", 0, 40)
    assert (second.arm, second.reached) == ("margin", 6)  # entropy, which no seed has, is left out
    assert second.saved[0] == pytest.approx(40 - second.labels)
    assert second.saved[0] > 10
    assert second.p_saved == pytest.approx(2 / 2**6)  # six of six on one side
    assert second.p_area == pytest.approx(2 / 2**6)


def test_every_case_has_its_arms() -> None:
    for case in CASES.values():
        assert list(arms(case)) == list(case.arms)


def test_the_loop_gives_the_curves_of_a_run(tmp_path: Path) -> None:
    assert same_curves(CASES["digits"].shortened(), tmp_path)
