"""What was computed last is kept, whoever asks for it at the same moment."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tilth.web.shelf import Shelf

THREADS = 6


def test_what_several_want_at_once_is_made_once():
    shelf, made, begun = Shelf(10_000), Counter(), threading.Barrier(THREADS)

    def want(_):
        for key in range(150):
            begun.wait(timeout=30)
            assert shelf.get(key, lambda key=key: (made.update([key]) or key, 1)) == key

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(want, range(THREADS)))
    assert set(made.values()) == {1}


def test_the_oldest_goes_where_the_space_ends_and_what_failed_is_tried_again():
    shelf = Shelf(100)
    with pytest.raises(ZeroDivisionError):
        shelf.get("a", lambda: (1 // 0, 60))
    assert [shelf.get("a", lambda: (1, 60)), shelf.get("b", lambda: (2, 40))] == [1, 2]
    assert shelf.get("a", lambda: (3, 60)) == 1
    assert shelf.get("c", lambda: (4, 40)) == 4
    assert [shelf.get("a", lambda: (5, 60)), shelf.get("b", lambda: (6, 40))] == [1, 6]
