"""Rebuild every version of a dataset from `Dataset.export(path, history=True)` by pyarrow and plain Python."""

import json
import struct
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ADD, REMOVE, SET, ASK, ANSWER, WITHDRAW, QUARANTINE = range(7)
LABEL, WEIGHT, SPLIT, PAYLOAD, GOLD, REVIEW = range(1, 7)

Version = dict[str, dict[str, Any]]


def replay(folder: Path) -> list[Version]:
    """Return each version as key -> label, weight, split, asked and the user's columns of every living record."""
    schema = json.loads((folder / "schema.json").read_text())
    kind, classes = schema["label"]["kind"], schema["label"]["classes"]
    payload = {row["row"]: row for row in pq.read_table(folder / "payload.parquet").to_pylist()}
    labels = {row["row"]: json.loads(row["value"]) for row in pq.read_table(folder / "labels.parquet").to_pylist()}
    events: dict[int, list[dict[str, Any]]] = {}
    for event in sorted(pq.read_table(folder / "events.parquet").to_pylist(), key=lambda event: event["row"]):
        events.setdefault(event["txn"], []).append(event)

    def label(stored: float | None) -> Any:
        if stored is None or stored != stored or (kind != "number" and stored < 0):
            return None
        return stored if kind == "number" else classes[int(stored)] if kind == "class" else labels[int(stored)]

    records: dict[int, dict[str, Any]] = {}
    versions: list[Version] = []
    for line in (folder / "commits.jsonl").read_text().splitlines():
        commit = json.loads(line)
        for row in range(commit["payload_start"], commit["payload_start"] + commit["n_added"]):
            born = None if kind == "classes" else label(payload[row]["label0"])
            records[row] = {"alive": True, "label": born, "weight": 1.0, "split": payload[row]["split0"], "asked": 0}
            records[row]["row"] = row
        for event in events.get(commit["txn"], []):
            record, new = records[event["record_id"]], event["new_num"]
            match event["op"], event["field"]:
                case int(op), _ if op in (ADD, REMOVE, QUARANTINE):
                    record["alive"] = op == ADD
                case int(op), _ if op in (ASK, WITHDRAW):
                    record["asked"] = 2 if record["asked"] == 2 else int(op == ASK)
                case int(op), 0 if op == ANSWER:
                    record["asked"] = 2
                case int(op), int(field) if op == ANSWER and field in (GOLD, REVIEW):
                    pass
                case _, int(field) if field == LABEL:
                    record["label"] = label(new)
                case _, int(field) if field == WEIGHT:
                    (record["weight"],) = struct.unpack("f", struct.pack("f", new))
                case _, int(field) if field == SPLIT:
                    record["split"] = int(new)
                case _, int(field) if field == PAYLOAD:
                    record["row"] = int(new)
                case other:
                    raise AssertionError(f"an event of no known sort: {other}")
        versions.append(
            {
                payload[at]["key"]: {
                    "label": record["label"],
                    "weight": record["weight"],
                    "split": ("train", "valid", "test")[record["split"]],
                    "asked": record["asked"],
                    **{column["name"]: payload[record["row"]][column["name"]] for column in schema["columns"]},
                }
                for at, record in records.items()
                if record["alive"]
            }
        )
    return versions
