"""Is drift seen soon and not too often, and does repair by record pay? Three real streams."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bench.drift import ALPHA, adapt, detect, streams, summary
from bench.evidence.figures import Figure, spread

__all__ = ["SEEDS", "TITLE", "measure"]

TITLE = (
    f"g. streams: records until drift is seen at {ALPHA}, false alarms where nothing changed,\n"
    "   accuracy on the next chunk at equal label budget"
)
SEEDS = 3
CALM, LOOKS, CHUNKS = 10, 20, 10
WATCHED = ("columns (KS, chi-square)", "classifier", "martingale")
ARMS = ("wholesale", "repair, classifier", "moved in, oldest out")


def measure(data: Path, seeds: int) -> list[Figure]:
    """Watch shuffled streams that change at a known record, and adapt to the streams as they came."""
    out: list[Figure] = []
    if not all((data / name).is_dir() for name in ("elec2", "bank_marketing", "keystroke")):
        return out
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for given in streams(data):
            stream = replace(given, calm=CALM, looks=LOOKS, chunks=CHUNKS)
            runs = [detect(stream, s, ordered=False, folder=place / f"{stream.name}-{s}") for s in range(seeds)]
            for row in summary(stream, runs):
                if row["metric"] in WATCHED:
                    what = f"{stream.name}: {row['metric']}"
                    nothing = float("nan")
                    low, middle, high = (row[k] or nothing for k in ("delay_low", "delay", "delay_high"))
                    seen = f"{row['detected']:.0%} of {seeds} streams, range"
                    out.append(Figure(f"{what}, delay in records (median)", middle, low, high, seen, unit="records"))
                    looks = [float(np.mean(np.array(r[row["metric"]])[:CALM] < ALPHA)) for r in runs]
                    out.append(spread(f"{what}, false looks of {CALM}", looks, target=ALPHA, most=True))
            found = {
                arm: [
                    float(np.mean(adapt(stream, arm, s, place / f"{stream.name}-{arm}-{s}")[0])) for s in range(seeds)
                ]
                for arm in ARMS
            }
            out.append(spread(f"{stream.name}: accuracy, wholesale retraining", found["wholesale"]))
            for arm in ARMS[1:]:
                gain = [100 * (a - b) for a, b in zip(found[arm], found["wholesale"], strict=True)]
                out.append(
                    spread(
                        f"{stream.name}: {arm} - wholesale, points", gain, "seeds, paired", target=0.0, unit="points"
                    )
                )
    return out
