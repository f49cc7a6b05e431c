"""A run on digits with gates that prove, gates that do not, and one for the whole round; it can be killed.

python gates_program.py FOLDER
"""

import sys

from tilth import Gate, Oracle, Rule, Workflow, label_quality, labeled, rejected, relabel, remove, reweight, rounds, run
from tilth.dataset import Dataset
from tilth.demo.arms import base_model
from tilth.integrations.sklearn import SklearnModel


def workflow(dataset: Dataset) -> Workflow:
    """One rule that helps much, one that harms and gives up after two rejections, and some that are judged together."""
    few = labeled.bottom(60, by=label_quality(by="model"))
    fix = Rule(select=few, do=relabel(by=Oracle("truth")), gate=Gate(confidence=0.9, rejected="hold"))
    cut = Rule(
        when=rejected("cut") < 2,
        select=labeled.where(label=("1", "2", "3")),
        do=remove(),
        gate=Gate(confidence=0.9, seeds=2, cooldown=0),
    )
    blur = Rule(select=labeled.where(label=("4", "5", "6")), do=reweight(0.01))
    return Workflow(
        dataset=dataset,
        model=SklearnModel(base_model()),
        rules={"fix": fix, "cut": cut, "blur": blur, "drop": Rule(select=labeled.where(label="4"), do=remove())},
        until=rounds() >= 3,
        gate=Gate(by=0.0, rejected="hold", cooldown=0),
    )


def main(folder: str) -> None:
    """Run it until it is done."""
    run(workflow(Dataset.open(folder)), inline=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
