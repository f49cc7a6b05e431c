"""Measurements against the best that is there; each says what it ran on, and where the other is faster."""
