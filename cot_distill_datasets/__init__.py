"""CoT supervision for small models: the words, the rows, and everything that makes, checks and publishes them."""

from .taxonomy import ConfigName, CotDistillError


__all__ = ["ConfigName", "CotDistillError"]
