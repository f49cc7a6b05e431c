"""The evidence for the patterns: each promise measured over seeds beside its target, failures included."""
