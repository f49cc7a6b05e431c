"""What a model said of every record: one array a kind on disk, memory-mapped where it is large."""

import json
import mmap
import os
import secrets
import shutil
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.errors import NotFound, did_you_mean

__all__ = ["KINDS", "LEARNED", "THERE", "Outputs"]

KINDS: Mapping[str, str] = {
    "probabilities": "the trained model's probability of each class (for a number: its prediction), every record",
    "out_of_fold_probabilities": "those of labelled training records, by a model that never saw them or relatives",
    "probe_probabilities": "the same as out-of-fold, by the probe instead of the model",
    "embeddings": "the trained model's embedding of every record (its features where it gives none)",
    "draws": "what each member of a committee, or each random pass, predicts for every record",
    "epoch_probabilities": "what the model said after every epoch of the records that it was trained on",
}
"""What a signal or metric may need of the trained model's state."""


LEARNED, THERE = 2, 1
"""What part a record had in a training: the model learned from it, or it was there all the same. 0: it came later."""

_SMALL = 1 << 20
"""Bytes up to which a file is read rather than mapped: that takes half as long."""
_HELD = 16 << 20
"""Bytes of mapped files that are looked at part by part before they are given back: after each part it takes longer."""


class Outputs:
    """The arrays of one model in `outputs/<ref>/`: `ids` names the records, in the order of the columns of each array.

    Probabilities are stored column-major, float32 [k, n], because every signal works class by class: opening 1M x 10
    costs 3 ms and no memory; several of a record (draws, epochs) are float32 [d, k, n]. Embeddings are float32 [n, d].
    A record without a value has NaN.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ref = folder.name
        self._opened: dict[str, Any] = {}
        self._looked_at = 0

    @cached_property
    def ids(self) -> npt.NDArray[np.int64]:
        """int64[n]: the records spoken of, ascending."""
        return self._load("ids")

    @cached_property
    def about(self) -> dict[str, Any]:
        """Which model, seed and data it was, and how long fitting took."""
        return json.loads((self.folder / "about.json").read_text(encoding="utf-8"))

    @property
    def kinds(self) -> set[str]:
        """Which kinds there are."""
        files = self.folder.iterdir() if self.folder.exists() else ()
        return {p.stem for p in files if p.suffix == ".npy"} - {"ids", "lesson"}

    @property
    def lesson(self) -> npt.NDArray[np.int8]:
        """int8[n]: what part each record had in the training: LEARNED, THERE, or 0 where it came later."""
        return self._load("lesson")

    def get(self, kind: str) -> npt.NDArray[np.float32]:
        """Return the array of a kind; NotFound says which there are."""
        if kind not in self._opened and not (self.folder / f"{kind}.npy").exists():
            raise NotFound(
                f"model {self.ref} has no {kind}. {did_you_mean(kind, sorted(self.kinds))} Train with "
                f"needs={{{kind!r}}}"
            )
        return self._load(kind)

    def part(self, kind: str, records: slice) -> npt.NDArray[np.float32]:
        """Return what a kind says of the records from `start` to `stop`: float32 [k, m], embeddings [m, d].

        NaN where nothing is said. Nothing is copied where all of them are spoken of. Each page of a mapped file that
        was looked at counts as memory of this process; the system gets them back here once they are many, and what is
        looked at again is read again.
        """
        array, by_record = self.get(kind), kind == "embeddings"
        first, last = np.searchsorted(self.ids, [records.start, records.stop]).tolist()
        said = array[first:last] if by_record else array[..., first:last]
        self._looked_at += said.nbytes
        if self._looked_at > _HELD:
            self._looked_at = said.nbytes
            for opened in self._opened.values():
                if isinstance(opened.base, mmap.mmap):
                    opened.base.madvise(mmap.MADV_DONTNEED)
        m = records.stop - records.start
        if last - first == m:
            return said
        full = np.full((m, *array.shape[1:]) if by_record else (*array.shape[:-1], m), np.nan, np.float32)
        at = np.asarray(self.ids[first:last]) - records.start
        if by_record:
            full[at] = said
        else:
            full[..., at] = said
        return full

    def has(self, *kinds: str) -> bool:
        """Whether all these kinds are there."""
        return all((self.folder / f"{kind}.npy").exists() for kind in kinds)

    def lack(self, needs: Iterable[str]) -> bool:
        """Take away what is cut short, and return whether any kind in `needs`, or probabilities, is not there then.

        Arrays are not forced to disk as commits are, because they can be made again: a power cut may leave some of the
        last half minute empty, though they were written.
        """
        try:
            json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(self.folder, ignore_errors=True)
        for path in self.folder.glob("*.npy"):
            if not _is_whole(path):
                path.unlink()
        if not (self.folder / "ids.npy").exists():  # nobody knows of which records the others speak
            shutil.rmtree(self.folder, ignore_errors=True)
        return not self.has("ids", "probabilities", *set(needs) & set(KINDS))

    def add(self, kind: str, array: npt.NDArray[Any]) -> None:
        """Write one kind; it appears whole or not at all."""
        with self._appearing(kind) as part, part.open("wb") as file:
            np.save(file, np.ascontiguousarray(array), allow_pickle=False)

    @contextmanager
    def filling(self, kind: str, shape: tuple[int, ...]) -> Generator[npt.NDArray[np.float32]]:
        """Yield an array on disk to be filled, for a kind that need not fit in memory; it appears when that is done."""
        with self._appearing(kind) as part:
            array = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
            yield array
            array.flush()

    @staticmethod
    def create(
        folder: Path,
        ids: npt.NDArray[np.int64],
        about: Mapping[str, Any],
        lesson: npt.NDArray[np.int8] | None = None,
    ) -> "Outputs":
        """Make the folder with its ids and their `lesson` (default: none was learned from); one that is there stays."""
        lesson = np.full(len(ids), THERE, np.int8) if lesson is None else lesson
        if not folder.exists():
            part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
            part.mkdir(parents=True)
            np.save(part / "ids.npy", ids, allow_pickle=False)
            np.save(part / "lesson.npy", lesson, allow_pickle=False)
            (part / "about.json").write_text(json.dumps(about, sort_keys=True), encoding="utf-8")
            try:
                part.rename(folder)
            except OSError:  # another process was first; its folder says the same
                shutil.rmtree(part, ignore_errors=True)
        made = Outputs(folder)
        if not (folder / "lesson.npy").exists():  # an earlier Tilth made it
            made.add("lesson", lesson)
        return made

    @contextmanager
    def _appearing(self, kind: str) -> Generator[Path]:
        part = self.folder / f".{kind}.{os.getpid()}.part"
        try:
            yield part
            part.replace(self.folder / f"{kind}.npy")
        finally:
            part.unlink(missing_ok=True)

    def _load(self, kind: str) -> Any:
        """Return an array, mapped unless it is small; what is written once never changes, so it is opened once."""
        if kind not in self._opened:
            path = self.folder / f"{kind}.npy"
            mode = "r" if path.stat().st_size > _SMALL else None
            array = np.load(path, mmap_mode=mode, allow_pickle=False)
            array.flags.writeable = False
            self._opened[kind] = array
        return self._opened[kind]


def _is_whole(path: Path) -> bool:
    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return True
