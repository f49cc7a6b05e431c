"""A project with every kind of record, and every payload that must stay text, for tests of the page."""

import io
import struct
import wave
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from sklearn.linear_model import LogisticRegression

from tilth import Dataset, Rule, Workflow, label_quality, labeled, relabel, rounds, run
from tilth.changes import EVENT, Changes, Field, Op, events
from tilth.integrations.sklearn import SklearnModel

PAYLOADS = (
    "<script>boom()</script>",
    "<img src=x onerror=boom()>",
    "<svg/onload=boom()>",
    '"><script>boom()</script>',
    "'><img src=x onerror='boom()'>",
    '" onmouseover="boom()',
    "' autofocus onfocus='boom()",
    "javascript:boom()",
    "</title><script>boom()</script>",
    "</textarea><script>boom()</script>",
    "</option></select><script>boom()</script>",
    "<!--><script>boom()</script>-->",
    "{{ 7 * 191 }}",
    "{% raw %}<b>{% endraw %}",
    "<iframe srcdoc='<script>boom()</script>'></iframe>",
    '<a href="javascript:boom()">x</a>',
    "&lt;script&gt;boom()&lt;/script&gt;",
    "<math><mtext></mtext><script>boom()</script></math>",
    "\u202e<script>boom()</script>\u0000\x1b[2J",
    "<style>@import 'http://evil.example/x.css';</style>",
)
CLASSES = ("cat", "dog", PAYLOADS[1], PAYLOADS[10])
RULE = PAYLOADS[1]
N = 300


def png(colour: int, side: int = 24) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (colour % 256, 90, 200)).save(file, "PNG")
    return file.getvalue()


def bomb() -> bytes:
    """Return a PNG of 50,000 x 50,000 pixels in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


def wav(pitch: float = 0.1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes((np.sin(np.arange(4000) * pitch) * 9000).astype(np.int16).tobytes())
    return file.getvalue()


BAD = {
    "bomb": bomb(),
    "cut": png(3, side=100)[:120],
    "text": b"no picture at all",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='boom()'><script>boom()</script></svg>",
    "html": b"<!doctype html><script>boom()</script>",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "nothing": b"",
}
"""Bytes in the column of pictures that are none: an import refuses them, an action of a user may still bring them."""


def zoo(folder: Path) -> Dataset:
    """Make the project `folder`: 300 records, two rounds of a run whose rule and model are real, hostile texts."""
    rng = np.random.default_rng(0)
    code = rng.integers(0, len(CLASSES), N)
    x = rng.normal(size=(N, 6)).astype(np.float32)
    x[np.arange(N), code] += 3
    given = np.where(rng.random(N) < 0.15, (code + 1) % len(CLASSES), code)
    pictures = [png(i) for i in range(N)]
    texts = [PAYLOADS[i % len(PAYLOADS)] if i < 40 else f"a plain note, number {i}" for i in range(N)]
    keys = [f"k{i:03d}" if i >= len(PAYLOADS) else f"k{i:03d} {PAYLOADS[i]}" for i in range(N)]
    source = {
        "key": keys,
        "x": x,
        "picture": pa.array(pictures, pa.large_binary()),
        "sound": pa.array([wav(0.05 + i / 1000) for i in range(N)], pa.large_binary()),
        "note": texts,
        "<b>age</b>": np.arange(N, dtype=np.float64),
        "truth": [CLASSES[c] for c in code],
        "secret": pa.array([png(i) for i in range(N)], pa.large_binary()),
        "kind": pa.array([None if i % 25 == 24 else CLASSES[c] for i, c in enumerate(given)]),
    }
    dataset = Dataset.create(
        folder / "dataset",
        source,
        key="key",
        label="kind",
        classes=CLASSES,
        hidden=["truth", "secret"],
        durability="process",
        splits={"train": 0.6, "valid": 0.3, "test": 0.1},
    )
    doubted = labeled.where(label_quality() < 0.4).bottom(9, by=label_quality())
    workflow = Workflow(
        dataset=dataset,
        model=SklearnModel(LogisticRegression(), features="x"),
        rules={RULE: Rule(select=doubted, do=relabel(by="probe"))},
        until=rounds() >= 2,
    )
    run(workflow, inline=True)
    ids = np.array([1, 2])
    said = {"reason": PAYLOADS[2], "actor": PAYLOADS[3], "signal": PAYLOADS[4], "score": np.array([0.5, 0.5])}
    told = events(Op.SET, ids, field=Field.LABEL, num=1.0, **said)
    dataset.commit(Changes(told), rule=PAYLOADS[5], message=PAYLOADS[6])
    dataset.commit(Changes(events(Op.REMOVE, np.array([3]), reason="a twin")))
    dataset.commit(Changes(events(Op.QUARANTINE, np.array([4]), reason="broken")))
    some = dataset.features(np.arange(len(BAD)))
    some = some.set_column(some.column_names.index("picture"), "picture", pa.array(BAD.values(), pa.large_binary()))
    some = some.append_column("key", pa.array(list(BAD))).append_column("split0", pa.array([0] * len(BAD), pa.int8()))
    some = some.append_column("label0", pa.array([0] * len(BAD), pa.int32()))
    dataset.commit(Changes(EVENT.empty_table(), some.append_column("parent", pa.array([-1] * len(BAD)))))
    flipped = some.slice(0, 1).set_column(some.column_names.index("key"), "key", pa.array(["flipped"]))
    dataset.commit(Changes(EVENT.empty_table(), flipped.append_column("parent", pa.array([7]))))
    return dataset
