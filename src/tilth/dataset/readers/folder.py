"""Folders of images or wav files: a class a subfolder, and splits where the top folders are called so."""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa

from tilth.dataset.readers.media import Media, checking, fault_of, in_batches
from tilth.dataset.readers.parquet import read_parquet
from tilth.dataset.readers.problems import Place, refuse
from tilth.dataset.readers.raw import Files, Lost, Raw, Request, Roles, choose, split_code
from tilth.errors import UsageError

__all__ = ["read_folder"]

_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
_IGNORED = ("Thumbs.db", "desktop.ini", "__MACOSX")
_IGNORED_ON_TOP = ("README*", "LICENSE*", "*.md", "*.txt", "*.json")
_BATCH = 256  # files between two calls of `progress`
_CHUNK = 2**26  # bytes of files that are put into one Arrow array, so that little is held twice


@dataclass(frozen=True)
class _Found:
    """The files of a folder by their paths in it, with `/`, sorted; and what may not be read."""

    files: list[str]
    lost: list[Lost]


def read_folder(path: Path, request: Request) -> Raw:
    """Read a folder of Parquet files, of images (column "image") or of wav files (column "audio").

    The key of an image or sound is its path in the folder. Its class is the first subfolder (below that of the split).
    Hidden files are left out, and so are a README, texts and JSON files on top; every other file must be what the
    folder holds.
    """
    found = _walk(path, str(path))
    tables = [name for name in found.files if name.endswith(".parquet") and not _is_private(name)]
    if tables:
        return read_parquet([path / name for name in tables], request, folder=path)
    if not found.files and found.lost:
        raise refuse(found.lost[0][0].source, found.lost[0][2])
    if not found.files:
        raise refuse(str(path), "the folder is empty (hidden files, and texts on top, do not count)")
    return _read_media(path, found, _kind(path, found.files), request)


def _is_private(name: str) -> bool:
    """Tell whether it lies in what Spark and others keep for themselves (`_temporary/`, `_metadata`)."""
    return any(part.startswith("_") for part in name.split("/"))


def _kind(path: Path, files: Sequence[str]) -> Media:
    images = [name for name in files if name.lower().endswith(_IMAGES)]
    sounds = [name for name in files if name.lower().endswith(".wav")]
    if images and sounds:
        mixed = f"{len(images):,} images ({images[0]}, ...) and {len(sounds):,} sounds ({sounds[0]}, ...)"
        raise refuse(str(path), f"holds {mixed}; a dataset of files is made of one or the other")
    if not images and not sounds:
        held = sorted({Path(name).suffix or name for name in files})
        raise refuse(str(path), f"holds neither images, wav nor Parquet files; it has {', '.join(held[:8])}")
    return "image" if images else "audio"


def _walk(root: Path, name: str) -> _Found:
    files: list[str] = []
    lost: list[Lost] = []

    def unreadable(error: OSError) -> None:
        lost.append((Place(_shown(str(error.filename)), 0, "file"), None, f"cannot be read ({error.strerror})"))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        inside = Path(folder).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = [f for f in folders if not _is_ignored(f, on_top=False)]
        for sub in folders:
            # os.walk does not go into these, which also spares it from going round in circles.
            if Path(folder, sub).is_symlink():
                reason = "is a link to a folder; put the folder itself there, or links to files of this folder"
                lost.append((Place(_shown(f"{name}/{prefix}{sub}"), 0, "file"), _shown(prefix + sub), reason))
        files += [prefix + file for file in names if not _is_ignored(file, on_top=not prefix)]
    return _Found(sorted(files), lost)


def _is_ignored(name: str, *, on_top: bool) -> bool:
    return name.startswith(".") or name in _IGNORED or (on_top and any(fnmatchcase(name, p) for p in _IGNORED_ON_TOP))


def _read_media(path: Path, found: _Found, kind: Media, request: Request) -> Raw:
    name = str(path)
    if request.key is not None or request.label is not None:
        raise UsageError(f"{name}: keys and labels of a folder come from its paths; leave out key= and label=")
    splits, labels = _meaning(found.files, name)
    roles = choose([kind], request, name, splits_known=splits is not None)
    values, reasons = _read_files(path, found.files, kind, request)
    good = [i for i, reason in enumerate(reasons) if reason is None]
    lost = [*found.lost]
    for file, reason in zip(found.files, reasons, strict=True):
        if reason is not None:
            lost.append((Place(_shown(f"{name}/{file}"), 0, "file"), _shown(file), reason))
    names = [found.files[i] for i in good]
    columns = {
        "key": pa.chunked_array([pa.array(names, pa.large_string())]),
        "label": pa.chunked_array([pa.array([labels[i] for i in good], pa.large_string())]),
        kind: values,
    }
    labelled = any(label is not None for label in labels)
    told = Roles(roles.features, "key", "label" if labelled else None, None, roles.everywhere)
    given = None if splits is None else np.array([splits[i] for i in good], dtype=np.int8)
    where = Files([f"{name}/{file}" for file in names])
    return Raw(
        name, pa.table(columns), told, where, lost=lost, splits=given, kinds={kind: kind}, checked=frozenset({kind})
    )


def _meaning(files: Sequence[str], name: str) -> tuple[list[int] | None, list[str | None]]:
    """Return the split of each file, where the top folders tell it, and its class, where it lies in a folder."""
    tops = sorted({file.partition("/")[0] for file in files if "/" in file})
    codes = {top: split_code(top) for top in tops}
    known = [top for top in tops if codes[top] is not None]
    if len(known) < len(tops) or not tops or any("/" not in file for file in files):
        # One class may be called "train"; several names of splits beside others are splits with something in between.
        if len({codes[top] for top in known}) > 1:
            other = next((t for t in tops if codes[t] is None), None) or next(f for f in files if "/" not in f)
            raise refuse(
                name, f"has folders of splits ({', '.join(known)}) and {other!r} beside them; move it into one of them"
            )
        return None, [file.partition("/")[0] if "/" in file else None for file in files]
    inner = [file.partition("/")[2] for file in files]
    splits = [codes[file.partition("/")[0]] or 0 for file in files]
    return splits, [file.partition("/")[0] if "/" in file else None for file in inner]


def _read_files(
    root: Path, files: Sequence[str], kind: Media, request: Request
) -> tuple[pa.ChunkedArray, list[str | None]]:
    """Return the bytes of the good files, in order, and for each file why it is not good, or None."""
    real = root.resolve()
    chunks: list[pa.Array] = []
    held: list[bytes] = []
    reasons: list[str | None] = []
    waiting, size = 0, 0.0  # bytes that are held, and the mean of the last batch: files of a folder are alike
    with checking() as pool:
        read = _reader(real, kind, request.limit)
        for start in range(0, len(files), _BATCH):
            found = in_batches(pool, read, files[start : start + _BATCH], size)
            reasons += [result if isinstance(result, str) else None for result in found]
            good = [result for result in found if isinstance(result, bytes)]
            held += good
            waiting += sum(map(len, good))
            size = sum(map(len, good)) / len(found)
            if waiting >= _CHUNK:
                chunks.append(pa.array(held, pa.large_binary()))
                held, waiting = [], 0
            if request.progress is not None:
                request.progress(len(reasons), len(files))
    return pa.chunked_array([*chunks, pa.array(held, pa.large_binary())]), reasons


def _reader(root: Path, kind: Media, limit: int) -> Callable[[str], bytes | str]:
    def read(file: str) -> bytes | str:
        """Return the bytes of a file, or (a text) why they cannot be taken."""
        path = Path(root, file)
        try:
            file.encode()
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                if not path.resolve().is_relative_to(root):
                    return "is a link that leads out of the folder"
                status = path.stat()
            # A pipe would wait for ever for somebody to write to it.
            if not stat.S_ISREG(status.st_mode):
                return "is not a file"
            if status.st_size >= limit:
                return f"has {status.st_size:,} bytes; one record may have less than {limit:,}"
            if status.st_size == 0:
                return "is empty"
            data = path.read_bytes()
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        except RuntimeError:  # Python before 3.13 says so of a loop of links
            return "is a link that leads to itself"
        except UnicodeEncodeError:
            return "has a name that is not valid UTF-8; rename it"
        return fault_of(data, kind) or data

    return read


def _shown(name: str) -> str:
    return name.encode("utf-8", errors="replace").decode()
