"""A layered layout: ranks along one axis, order and places along the other (Sugiyama, Tagawa and Toda 1981).

`u` runs from rank to rank, `v` along a rank; who draws decides which of them is x. Nothing is random.
"""

from bisect import bisect_right, insort
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import Any, Literal

__all__ = ["Box", "Layers", "Link", "layered"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Link:
    """An edge to be laid out: `label` is the size of the words on it, `port` where it leaves, from the middle.

    `port_in`: where it arrives, from the middle; None for anywhere. `aside`: 0 for a link that makes ranks; one that
    leads back or round something runs along a lane of its own, after everything else (1) or before it (-1).
    """

    source: str
    target: str
    aside: Literal[-1, 0, 1] = 0
    label: Point = (0.0, 0.0)
    port: float = 0.0
    port_in: float | None = None


@dataclass(frozen=True)
class Box:
    """Where something stands: its corner and its size."""

    u: float
    v: float
    du: float
    dv: float

    @property
    def middle(self) -> Point:
        """Its middle."""
        return self.u + self.du / 2, self.v + self.dv / 2


@dataclass(frozen=True)
class Layers:
    """The result: boxes by name, and for each link its corners and the middle of its label."""

    boxes: Mapping[str, Box]
    routes: Sequence[Sequence[Point]]
    labels: Sequence[Point]


Key = Hashable


@dataclass
class _Work:
    size: dict[Key, Point]
    rank: dict[Key, int]
    chains: list[list[Key]]
    """The nodes that each forward link goes through, invented ones included."""
    order: list[list[Key]] = field(default_factory=list[list[Key]])
    v: dict[Key, float] = field(default_factory=dict[Key, float])
    """The middle of each node."""


def layered(
    sizes: Mapping[str, Point],
    links: Sequence[Link],
    *,
    gap: Point,
    spine: Mapping[str, float] | None = None,
    open_ends: Mapping[str, float] | None = None,
) -> Layers:
    """Return where nodes of these sizes (du, dv) stand and how their links run.

    `gap`: the least room between ranks and between neighbours in a rank. `spine`: nodes of which
    the middle is given.
    `open_ends`: nodes tall enough that a link may meet them anywhere but so near their ends. Links pass no box: between
    ranks they bend, through a rank they have a place of their own, and those `aside` run along the outside.
    """
    forward = [link for link in links if not link.aside]
    rank = _ranks(sizes, forward)
    work = _Work({**sizes}, {**rank}, [])
    for n, link in enumerate(forward):
        work.chains.append(_chain(work, n, link))
    for r in range(max(rank.values(), default=-1) + 1):
        work.order.append([key for key in work.size if work.rank[key] == r])
    _untangle(work)
    _settle(work, forward, gap[1], spine or {})
    return _routed(work, sizes, links, gap, open_ends or {})


def _ranks(sizes: Mapping[str, Point], links: Sequence[Link]) -> dict[str, int]:
    """Return the length of the longest path to each node."""
    after: dict[str, list[str]] = {name: [] for name in sizes}
    missing = dict.fromkeys(sizes, 0)
    for link in links:
        after[link.source].append(link.target)
        missing[link.target] += 1
    ready = [name for name in sizes if not missing[name]]
    rank = dict.fromkeys(ready, 0)
    for name in ready:  # grows while it is read
        for target in after[name]:
            rank[target] = max(rank.get(target, 0), rank[name] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    if len(ready) < len(sizes):
        raise ValueError(f"a circle of forward links among {sorted(set(sizes) - set(ready))}")
    first = {link.target for link in links}
    for name in reversed(ready):
        if after[name] and name not in first:  # a beginning stands right before what follows it
            rank[name] = min(rank[target] for target in after[name]) - 1
    return rank


def _chain(work: _Work, n: int, link: Link) -> list[Key]:
    low, high = work.rank[link.source], work.rank[link.target]
    between: list[Key] = []
    for r in range(low + 1, high):
        between.append((n, r))
        work.rank[n, r] = r
        work.size[n, r] = (0.0, 8.0)
    if between and link.label[0]:
        work.size[between[0]] = (link.label[0], max(8.0, link.label[1]))
    return [link.source, *between, link.target]


# -- the order within a rank ------------------------------------------------------------------------------------------


def _untangle(work: _Work, *, sweeps: int = 6) -> None:
    """Reorder each rank by the mean place of its neighbours; keep the order with the fewest crossings."""
    before: dict[Key, list[Key]] = {}
    after: dict[Key, list[Key]] = {}
    for chain in work.chains:
        for a, b in pairwise(chain):
            after.setdefault(a, []).append(b)
            before.setdefault(b, []).append(a)
    best, fewest = [list(keys) for keys in work.order], _crossings(work.order, after)
    for sweep in range(sweeps):
        if not fewest:
            break
        down = sweep % 2 == 0
        ranks = range(1, len(work.order)) if down else range(len(work.order) - 2, -1, -1)
        for r in ranks:
            place = {key: i for i, key in enumerate(work.order[r - 1 if down else r + 1])}
            near = before if down else after
            here = {key: i for i, key in enumerate(work.order[r])}

            def mean(key: Key, near: dict[Key, list[Key]] = near, place: dict[Key, int] = place) -> float | None:
                found = [place[k] for k in near.get(key, ()) if k in place]
                return sum(found) / len(found) if found else None

            means = {key: mean(key) for key in here}
            work.order[r].sort(key=lambda key: (here[key] if (m := means[key]) is None else m, here[key]))
        crossed = _crossings(work.order, after)
        if crossed < fewest:
            best, fewest = [list(keys) for keys in work.order], crossed
    work.order = best


def _crossings(order: Sequence[Sequence[Key]], after: Mapping[Key, Sequence[Key]]) -> int:
    found = 0
    for keys, below in pairwise(order):
        place = {key: i for i, key in enumerate(below)}
        seen: list[int] = []
        for key in keys:
            ends = sorted(place[k] for k in after.get(key, ()))
            found += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return found


# -- places along a rank ----------------------------------------------------------------------------------------------


def _settle(work: _Work, links: Sequence[Link], gap: float, spine: Mapping[Any, float], *, sweeps: int = 8) -> None:
    """Give every node a middle: near its neighbours, in order, `gap` apart; least squares for each rank in turn."""
    near: dict[Key, list[tuple[Key, float, float]]] = {}
    for chain, link in zip(work.chains, links, strict=True):
        for i, (a, b) in enumerate(pairwise(chain)):
            ahead = (link.port if i == 0 else 0.0) - ((link.port_in or 0.0) if b == link.target else 0.0)
            weight = 8.0 if 0 < i < len(chain) - 2 else 1.0  # where it only passes, a link is straight
            near.setdefault(a, []).append((b, -ahead, weight))
            near.setdefault(b, []).append((a, ahead, weight))
    work.v = {key: spine.get(key, 0.0) for key in work.size}
    for sweep in range(sweeps):
        for keys in work.order if sweep % 2 == 0 else reversed(work.order):
            wanted: list[tuple[float, float]] = []
            for key in keys:
                pulls = near.get(key, ())
                total = sum(weight for _, _, weight in pulls) or 1.0
                middle = sum((work.v[k] + ahead) * weight for k, ahead, weight in pulls) / total
                wanted.append((spine[key], 1e6) if key in spine else (middle, 1.0))
            steps = [(work.size[a][1] + work.size[b][1]) / 2 + gap for a, b in pairwise(keys)]
            for key, v in zip(keys, _apart(wanted, steps), strict=True):
                work.v[key] = v
    work.v = {key: float(round(v)) for key, v in work.v.items()}


def _apart(wanted: Sequence[tuple[float, float]], steps: Sequence[float]) -> list[float]:
    """Return the places nearest to those wanted (place, weight) that are at least the steps apart, in order.

    Without the steps it is isotonic regression, solved by pooling neighbours that are in the wrong order.
    """
    offsets = [0.0]
    for step in steps:
        offsets.append(offsets[-1] + step)
    pools: list[tuple[float, float, int]] = []
    for (place, weight), offset in zip(wanted, offsets, strict=False):
        mean, total, n = place - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, more, m = pools.pop()
            mean, total, n = (mean * total + other * more) / (total + more), total + more, n + m
        pools.append((mean, total, n))
    flat = [mean for mean, _, n in pools for _ in range(n)]
    return [place + offset for place, offset in zip(flat, offsets, strict=False)]


# -- where the links run ----------------------------------------------------------------------------------------------


def _routed(
    work: _Work, sizes: Mapping[str, Point], links: Sequence[Link], gap: Point, open_ends: Mapping[str, float]
) -> Layers:
    forward = [link for link in links if not link.aside]
    room = [gap[0]] * len(work.order)
    """Before each rank."""
    for chain, link in zip(work.chains, forward, strict=True):
        if len(chain) == 2 and link.label[0]:
            r = work.rank[chain[1]]
            room[r] = max(room[r], link.label[0] + 22)
    start: list[float] = []
    depth = [max((work.size[key][0] for key in keys), default=0.0) for keys in work.order]
    at = 0.0
    for r, deep in enumerate(depth):
        at = float(ceil(at + room[r])) if r else 0.0
        start.append(at)
        at += deep
    boxes: dict[str, Box] = {}
    ends = {link.target for link in forward} - {link.source for link in forward}
    for name, (du, dv) in sizes.items():
        r = work.rank[name]
        spare = 0.0 if name in ends else (depth[r] - du) / 2  # an end stands near what leads to it
        boxes[name] = Box(start[r] + spare, work.v[name] - dv / 2, du, dv)
    chains = iter(work.chains)
    lanes = _lanes(work, links, boxes, gap[1])
    routes: list[Sequence[Point]] = []
    labels: list[Point] = []
    for n, link in enumerate(links):
        if link.aside:
            route, label = _outside(work, link, boxes, lanes[n], start, depth)
        else:
            route, label = _along(work, link, next(chains), boxes, start, depth, open_ends)
        routes.append(route)
        labels.append(label)
    return Layers(boxes, routes, labels)


def _lanes(work: _Work, links: Sequence[Link], boxes: Mapping[str, Box], gap: float) -> dict[int, float]:
    """Return where each link that runs aside has its lane; those that do not pass each other share one."""
    out: dict[int, float] = {}
    for side in (-1, 1):
        lanes: list[list[int]] = []
        for n, link in enumerate(links):
            if link.aside == side:
                free = (lane for lane in lanes if not any(_pass(link, links[m], boxes) for m in lane))
                lane = next(free, None)
                if lane is None:
                    lanes.append([n])
                else:
                    lane.append(n)
        edge = max((side * work.v[k] + work.size[k][1] / 2 for k in work.size), default=0.0)
        for lane in lanes:
            half = max(links[n].label[1] / 2 if _on_lane(links[n]) else 0.0 for n in lane)
            edge += max(gap, half + 8)
            out |= dict.fromkeys(lane, side * edge)
            edge += half
    return out


def _pass(a: Link, b: Link, boxes: Mapping[str, Box]) -> bool:
    ends = [sorted((boxes[link.source].middle[0], boxes[link.target].middle[0])) for link in (a, b)]
    return ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]


def _on_lane(link: Link) -> bool:
    """Return whether its label stands on the lane; else it stands where the link turns towards its target."""
    return link.port_in is None or link.label[0] >= link.label[1]


def _along(
    work: _Work,
    link: Link,
    chain: Sequence[Key],
    boxes: Mapping[str, Box],
    start: Sequence[float],
    depth: Sequence[float],
    open_ends: Mapping[str, float],
) -> tuple[list[Point], Point]:
    source, target = boxes[link.source], boxes[link.target]
    r, last = work.rank[link.source], work.rank[link.target]
    v = source.middle[1] + link.port
    route: list[Point] = [(source.u + source.du, v), (start[r] + depth[r], v)]
    label: Point | None = None
    for i, key in enumerate(chain[1:-1], start=1):
        v = work.v[key]
        route += [(start[r + i], v), (start[r + i] + depth[r + i], v)]
        if work.size[key][0]:
            label = (start[r + i] + depth[r + i] / 2, v)
    end = target.middle[1] + (link.port_in or 0.0)
    if link.port_in is None and link.target in open_ends:
        slack = max(0.0, target.dv / 2 - open_ends[link.target])
        end = min(max(v, end - slack), end + slack)
    route += [(start[last], end), (target.u, end)]
    if label is None:
        label = ((start[last - 1] + depth[last - 1] + start[last]) / 2, (v + end) / 2)
    return route, label


def _outside(
    work: _Work, link: Link, boxes: Mapping[str, Box], lane: float, start: Sequence[float], depth: Sequence[float]
) -> tuple[list[Point], Point]:
    """Leave towards the lane and come in from it; where another node is in the way, by the gap between ranks."""
    source, target = boxes[link.source], boxes[link.target]
    route: list[Point] = []
    if _outermost(work, link.source, link.aside):
        here = source.middle[0]
        route += [(here, source.middle[1] + link.aside * source.dv / 2), (here, lane)]
    else:
        r = work.rank[link.source]
        here = start[r] + depth[r] + 12
        route += [(source.u + source.du, source.middle[1]), (here, source.middle[1]), (here, lane)]
    if link.port_in is None and _outermost(work, link.target, link.aside):
        there = target.middle[0]
        route += [(there, lane), (there, target.middle[1] + link.aside * target.dv / 2)]
        return route, ((here + there) / 2, lane)
    there, v = start[work.rank[link.target]] - 16, target.middle[1] + (link.port_in or 0.0)
    route += [(there, lane), (there, v), (target.u, v)]
    return route, ((here + there) / 2, lane) if _on_lane(link) else (there, (lane + v) / 2)


def _outermost(work: _Work, name: str, side: int) -> bool:
    return work.order[work.rank[name]][-1 if side > 0 else 0] == name
