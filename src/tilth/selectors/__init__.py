"""Which records to change: values that choose record ids on a state, each with a score and a reason."""

from tilth.selectors.picked import Chosen
from tilth.selectors.selector import Selector
from tilth.selectors.wanted import Wanted, wanted

__all__ = [
    "Chosen",
    "Selector",
    "Wanted",
    "answered",
    "labeled",
    "quarantined",
    "records",
    "removed",
    "unlabeled",
    "wanted",
]

records = Selector("records")
"""All living training records, labelled or not."""

unlabeled = Selector("unlabeled")
"""The pool: living training records without a label about which nobody is or was asked."""

labeled = Selector("labeled")
"""Living training records that have a label."""

answered = Selector("answered")
"""Living training records about which an annotator has answered, whether or not that gave a label."""

quarantined = Selector("quarantined")
"""Training records on which a step failed or that annotators called bad; `restore` brings them back."""

removed = Selector("removed")
"""Training records that were taken out; to bring them back."""
