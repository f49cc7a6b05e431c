"""What durable runs and their inbox cost: `python -m bench.durable [--quick] [--prefect PYTHON]`.

Steps on the local engine, on SQLite and on a real Postgres 15, beside a bare SQLite journal measured in the same run
(and Prefect 3, where a Python that has it is named); runs that wait; a run that was killed; people who answer at once;
a million open tasks. Everything is on this machine; Postgres listens on loopback.
"""

import argparse
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression

from bench.machine import describe, timed
from bench.people import drain, million, people
from tilth import Dataset, Rule, Run, Team, Workflow, annotate, records, remove, rounds, run, unlabeled
from tilth.errors import Parked
from tilth.integrations.sklearn import SklearnModel

BINARIES = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def postgres() -> Generator[str | None]:
    """Start a Postgres of its own on a free loopback port, with what is committed forced to disk."""
    if not (BINARIES / "initdb").exists():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        shutil.chown(folder, "postgres")
        user: dict[str, Any] = {"user": "postgres", "cwd": folder, "stdout": subprocess.DEVNULL, "env": {"LC_ALL": "C"}}
        subprocess.run(
            [BINARIES / "initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "bench", "-E", "UTF8"],
            check=True,
            **user,
        )
        options = ["-c", "listen_addresses=127.0.0.1", "-k", folder, "-p", str(port)]
        server = subprocess.Popen(
            [BINARIES / "postgres", "-D", f"{folder}/data", *options], stderr=subprocess.DEVNULL, **user
        )
        try:
            ready = [BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            while subprocess.run(ready, check=False).returncode:
                if server.poll() is not None:
                    raise RuntimeError("Postgres does not start")
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def small(folder: Path, *, n: int = 60) -> Dataset:
    """Make a dataset that is trained in a few milliseconds: what is left is the engine."""
    x = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    kind = np.where(np.arange(n) % 3 == 0, "", np.where(x[:, 0] > 0, "a", "b")).astype(object)
    kind[kind == ""] = None
    return Dataset.create(
        folder, pa.table({"x": pa.FixedSizeListArray.from_arrays(x.ravel(), 4), "kind": pa.array(kind, pa.string())}),
        label="kind", durability="process",
    )  # fmt: skip


def flow(dataset: Dataset, rules: dict[str, Rule]) -> Workflow:
    """Return a workflow of one round."""
    return Workflow(dataset=dataset, model=SklearnModel(LogisticRegression()), rules=rules, until=rounds() >= 1)


# -- steps
# ---------------------------------------------------------------------------------------------------------------------


def steps(n: int, url: str | None) -> None:
    """Run a workflow of n rules that never fire: each is a durable step with next to no work in it."""
    never = {f"r{i}": Rule(when=rounds() < 0, select=records.sample(1), do=remove()) for i in range(n)}
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(f"{folder}/bare.sqlite", isolation_level=None)
        db.execute("pragma journal_mode=WAL")
        db.execute("pragma synchronous=NORMAL")
        db.execute("create table steps (key text primary key, result text)")
        floor = timed(lambda: db.execute("insert or replace into steps values ('k', '{}')"), repeats=500)
        print(f"  {'bare SQLite journal (floor)':34} {1e3 * floor.median:6.2f} ms a step")
        from tilth.runs import durable

        places: list[tuple[str, str | None]] = [
            ("local engine", None),
            ("durable engine, SQLite", f"sqlite:///{folder}/e.sqlite"),
        ]
        for i, (title, engine) in enumerate([*places, *([("durable engine, Postgres", url)] if url else [])]):
            workflow = flow(small(Path(folder) / f"d{i}"), never)
            done = run(workflow, inline=True) if engine is None else durable.run(workflow, engine=engine, inline=True)
            told = [s for s in done.steps if s["key"].endswith("/propose")]
            gaps = [b["finished"] - a["finished"] - b["seconds"] for a, b in pairwise(told)]
            quart = statistics.quantiles(gaps, n=20)
            print(
                f"  {title:34} {1e3 * statistics.median(gaps):6.2f} ms a step (5 % to 95 %: {1e3 * quart[0]:.2f} to "
                f"{1e3 * quart[-1]:.2f}), {len(gaps) / sum(gaps):,.0f} steps/s beside their work, n={len(told)}"
            )


DBOS_ALONE = """
import asyncio, sys, time
from pathlib import Path
from dbos import DBOS, DBOSPortableJSONSerializer
from tilth.runs.pool import open_pool

n, (own, _) = int(sys.argv[2]), open_pool(Path(sys.argv[1]))
serializer = DBOSPortableJSONSerializer()
DBOS(config={"name": "alone", "system_database_engine": own, "serializer": serializer, "log_level": "CRITICAL"})

async def empty():
    return None

@DBOS.workflow()
async def many():
    took = []
    for i in range(n):
        began = time.perf_counter()
        await DBOS.run_step_async({"name": str(i)}, empty)
        took.append(time.perf_counter() - began)
    print(sorted(took)[n // 2], flush=True)

DBOS.launch()
asyncio.run(many())
DBOS.destroy()
"""


def dbos_alone(n: int) -> None:
    """Measure empty steps of DBOS with nothing of ours but how it is connected: the durable engine's floor."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", DBOS_ALONE, f"{folder}/dbos.sqlite", str(n)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    print(f"  {'DBOS alone, SQLite (floor)':34} {1e3 * float(said):6.2f} ms a step, n={n}")


def prefect(python: str | None, n: int) -> None:
    """Measure the same number of empty tasks in a flow of Prefect 3, by a Python that has it."""
    if python is None:
        print("  Prefect 3: not measured; name a Python that has it: --prefect PYTHON")
        return
    program = (
        "import os, time; os.environ.setdefault('PREFECT_LOGGING_LEVEL', 'CRITICAL')\n"
        "os.environ.setdefault('PREFECT_SERVER_ANALYTICS_ENABLED', 'false')\n"
        "from prefect import flow, task, __version__\n"
        "@task(persist_result=True)\ndef one(i): return i\n"
        f"@flow(persist_result=True)\ndef many():\n    t = time.perf_counter()\n    [one(i) for i in range({n})]\n"
        f"    return (time.perf_counter() - t) / {n}\n"
        "print('PREFECT', __version__, many() * 1000)\n"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=600, check=False)
    said = [line.split() for line in done.stdout.splitlines() if line.startswith("PREFECT")]
    if not said:
        print(f"  Prefect 3: did not run: {done.stderr.strip().splitlines()[-1:]}")
        return
    print(f"  {'Prefect ' + said[0][1] + ', own server, SQLite':34} {float(said[0][2]):6.2f} ms a task (mean), n={n}")


# -- runs that wait, and one that was killed
# ------------------------------------------------------------------------------------


def waiting(n: int, url: str) -> None:
    """Let n runs wait for people, then look at a worker's process that watches over them."""
    from tilth.runs import durable

    ask = {"ask": Rule(select=unlabeled.sample(3), do=annotate(by=Team("absent")))}
    with tempfile.TemporaryDirectory() as folder:
        idle = _served(url)
        first = small(Path(folder) / "dataset")
        for i in range(n):
            there = shutil.copytree(first.path, Path(folder) / f"p{i}" / "dataset")
            workflow = flow(Dataset.open(there, durability="process"), ask)
            with suppress(Parked):
                durable.run(workflow, engine=url, inline=True, wait=False)
            assert Run(workflow.dataset, "run-1", engine=url).state == "waiting"
        busy = _served(url)
        print(
            f"  {n} runs wait: a worker's process has {busy[0]:.0f} threads (idle {idle[0]:.0f}) and "
            f"{(busy[1] - idle[1]) / 1e6:+.1f} MB over idle ({idle[1] / 1e6:.0f} MB)"
        )


def _served(url: str) -> tuple[float, float]:
    """Return threads and memory of a worker's process that has looked after the runs a few times."""
    program = (
        "import sys, threading, time\nfrom tilth.runs import durable\n"
        "stop = threading.Event()\n"
        "t = threading.Thread(target=durable.serve, args=(sys.argv[1], stop), kwargs={'lease': 2.5})\nt.start()\n"
        "time.sleep(6)\n"
        "s = {l.split()[0]: l.split()[1] for l in open('/proc/self/status') if len(l.split()) > 1}\n"
        "print(s['Threads:'], s['VmRSS:'])\nstop.set()\nt.join()\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, check=True
    ).stdout.split()
    return float(out[0]), float(out[1]) * 1024


PROGRAM = """
import sys, time
from pathlib import Path
from tilth import run
from tilth.dataset import Dataset
from bench.durable import flow
from tilth import Rule, records, remove, rounds
began = time.time()
rules = {f"r{i}": Rule(when=rounds() < 0, select=records.sample(1), do=remove()) for i in range(5)}
def heard(event):
    if event["what"] == "step":
        print(event["key"], time.time(), flush=True)
run(flow(Dataset.open(sys.argv[1]), rules), listen=heard)
"""


def killed() -> None:
    """Kill a run after its training, and see how long it takes from the new launch to the first new step."""
    with tempfile.TemporaryDirectory() as folder:
        small(Path(folder) / "d")
        program = Path(folder) / "program.py"
        program.write_text(PROGRAM)
        command = [sys.executable, str(program), f"{folder}/d"]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        first = subprocess.run(
            command, capture_output=True, text=True, check=False, env=env | {"TILTH_KILL": "after r0/r1/propose"}
        )
        began = time.time()
        second = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        before, after = ([line.split() for line in r.stdout.splitlines()] for r in (first, second))
        again = {k for k, _ in before} & {k for k, _ in after}
        print(
            f"  from the launch after kill -9 to the first new step: {float(after[0][1]) - began:.2f} s (imports "
            f"included); finished steps repeated: {len(again)}"
        )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    parser.add_argument("--prefect", metavar="PYTHON", help="a Python that has Prefect 3")
    told = parser.parse_args()
    k = 10 if told.quick else 1
    describe(
        ["sqlalchemy", "dbos", "psycopg", "pylance"], work=f"1,000 / {k} steps, 300 / {k} runs, 1,000,000 / {k} tasks"
    )
    with postgres() as url:
        if url is None:
            print("no Postgres 15 here: its figures are left out")
        print("\nsteps (to reach: <= 2 ms on SQLite, <= 8 ms on Postgres, >= 250 steps/s on SQLite)")
        steps(1000 // k, url)
        dbos_alone(1000 // k)
        prefect(told.prefect, 200 // k)
        print("\nruns (to reach: <= 20 threads, <= 60 MB over idle; < 3 s, 0 steps repeated)")
        if url:
            waiting(300 // k, url)
        killed()
        print(
            "\npeople (to reach: >= 300 answers/s; 100,000 into one version <= 3 s; asking a million <= 20 s; <= 10 ms)"
        )
        people(500 // k, url)
    drain(100_000 // k)
    million(1_000_000 // k)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
