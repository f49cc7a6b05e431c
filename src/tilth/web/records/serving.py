"""`/media/{record}/{column}`: the one way by which bytes of a record leave the server."""

import re

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from tilth.dataset import Dataset
from tilth.errors import DataError, NotFound, UsageError, did_you_mean
from tilth.web.label.desk import Desk
from tilth.web.media import Media, placeholder, sniffed, thumb, waveform
from tilth.web.records.looking import record_of, shelf_of
from tilth.web.routes import get, person_of, site_of, whole

__all__ = ["ROUTES"]

_SIZES = ("thumb", "full")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


def media(request: Request) -> Response:
    """Answer with a picture or a sound of a record, or how loud it is over time (`size=thumb` of a sound)."""
    asked = request.query_params
    record, name = record_of(request), request.path_params["column"]
    size = asked.get("size") or "full"
    if size not in _SIZES:
        raise UsageError(f"size={size!r}. {did_you_mean(size, _SIZES)}")
    following = site_of(request).dataset(asked.get("branch") or "main")
    dataset = following.at(whole(asked, "version", following.version))
    view = dataset.view
    # an annotator learns nothing of what there is beside their tasks: both are answered alike
    if record >= len(view) or not view.known[record] or not _may_see(request, dataset, record):
        raise NotFound(f"no record {record} in version {dataset.version} that is yours to see")
    column = next((c for c in dataset.schema.columns if c.name == name), None)
    if column is None or column.hidden or column.kind not in ("image", "audio"):
        shown = [c.name for c in dataset.schema.columns if c.kind in ("image", "audio") and not c.hidden]
        raise NotFound(f"no column {name!r} of pictures or sounds. {did_you_mean(name, shown)}")
    told = f"{int(dataset.content[record]):016x}"
    tag = f'"{told}-{size}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if asked.get("v") == told:  # the address names the content, so what is behind it never changes
        headers["cache-control"] = "private, max-age=31536000, immutable"
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if size == "full":
        try:
            found = sniffed(_bytes(dataset, record, name))
        except DataError as why:
            raise UsageError(f"{name} of record {record} is not shown: {why}") from why
        return _part(request, found, headers)

    def make() -> tuple[Media, int]:
        try:
            made = (waveform if column.kind == "audio" else thumb)(_bytes(dataset, record, name))
        except DataError as why:
            made = placeholder(str(why))
        return made, len(made.data)

    found = shelf_of(request).get(("media", told, name), make)
    return Response(found.data, media_type=found.type, headers=headers)


def _may_see(request: Request, dataset: Dataset, record: int) -> bool:
    """Whether who asks may see a record: reviewers all, annotators those of the tasks that they hold or answered."""
    person = person_of(request)
    if person.may("reviewer"):
        return True
    seen = Desk(site_of(request), person).seen()
    return any(task.record == record and task.question.branch == dataset.branch_name for task in seen)


def _bytes(dataset: Dataset, record: int, name: str) -> bytes:
    value = dataset.features(np.array([record]), [name])[name].to_pylist()[0]
    return b"" if value is None else value


def _part(request: Request, found: Media, headers: dict[str, str]) -> Response:
    """Answer with the whole, or with the bytes that a player asks for when somebody jumps in a sound."""
    headers = headers | {"accept-ranges": "bytes"}
    asked, n = request.headers.get("range", ""), len(found.data)
    wanted = _RANGE.fullmatch(asked)
    if wanted is None:
        return Response(found.data, media_type=found.type, headers=headers)
    start, end = int(wanted[1]), min(int(wanted[2] or n), n - 1)
    if start > end:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{n}"})
    headers["content-range"] = f"bytes {start}-{end}/{n}"
    return Response(found.data[start : end + 1], status_code=206, media_type=found.type, headers=headers)


ROUTES = (get("/media/{record}/{column}", media, role="annotator"),)
