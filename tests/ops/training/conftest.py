"""Training tests are small: one thread is as fast as many, and doesn't wait for busy cores."""

from __future__ import annotations

from tests.models.conftest import _one_thread

__all__ = ["_one_thread"]
