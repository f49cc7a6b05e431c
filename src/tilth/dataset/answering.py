"""What annotators answered, as a table: consensus, quality and agreement are functions of it."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tilth.changes import Op
from tilth.dataset.core import Core

__all__ = ["ANSWERS", "answers"]

ANSWERS = pa.schema(
    [
        ("record_id", pa.int64()),
        ("field", pa.int16()),
        ("label", pa.string()),
        ("annotator", pa.string()),
        ("cost", pa.float64()),
        ("version", pa.int64()),
        ("rule", pa.string()),
    ]
)
"""A row an answer: `label` is JSON text ("null" = could not tell); `field` tells what it is for: NONE, GOLD, REVIEW.

`annotator` is who committed the answer where the answer itself names nobody."""


def answers(core: Core, version: int) -> pa.Table:
    """Return all answers up to a version, in the order in which they were committed."""
    columns = ["record_id", "op", "field", "new_txt", "actor", "cost", "txn"]
    table = core.events(-1, version, columns)
    table = table.filter(pa.array(table["op"].to_numpy() == Op.ANSWER))
    txns, at = np.unique(table["txn"].to_numpy(), return_inverse=True)
    versions = np.array([core.log.txns[t] for t in txns.tolist()], np.int64)
    commits = [core.log.commits[v] for v in versions.tolist()]
    rules, actors = (pa.array(texts, pa.string()) for texts in ([c.rule for c in commits], [c.actor for c in commits]))
    return pa.table(
        {
            "record_id": table["record_id"],
            "field": table["field"],
            "label": pc.fill_null(table["new_txt"], "null"),
            "annotator": pc.coalesce(table["actor"], actors.take(pa.array(at))),
            "cost": table["cost"],
            "version": versions[at],
            "rule": rules.take(pa.array(at)),
        },
        schema=ANSWERS,
    )
