"""What belongs to sessions, so that it is found when one ends."""

from __future__ import annotations

from .grouped import Grouped, K, V


class BySession(Grouped[int, K, V]):
    """Things by session and by what they are called there; a session without any is not in it."""
