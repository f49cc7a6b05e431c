"""How an exam fails: with a sentence that names the broken promise."""

__all__ = ["promise"]


def promise(kept: object, sentence: str) -> None:
    """Raise an AssertionError with the sentence where a promise is not kept; unlike `assert`, also under `python -O`.

    >>> promise(1 + 1 == 2, "numbers add up")
    """
    if not kept:
        raise AssertionError(sentence)
