"""What the members of a shard tell each other beside Raft: digests of what they computed, and entries that were damaged.

No term and no leader decides about these; each says what it is about, and a wrong or late one changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .raft.messages import Message

if TYPE_CHECKING:
    from .digest_exchange import DigestExchange
    from .healing import Healing


@dataclass(slots=True, kw_only=True)
class DigestReport(Message):
    """To the leader: my digest when exactly the entries through `index` were applied, as a number."""

    index: int
    digest: int


@dataclass(slots=True, kw_only=True)
class DigestVerdict(Message):
    """From the leader: a majority of the voters has this digest at `index`."""

    index: int
    digest: int


@dataclass(slots=True, kw_only=True)
class EntryQuery(Message):
    """I had this entry, and it is damaged: give me yours, if it is the same.

    It is if it is committed (agreed_index 0), or if your entry at agreed_index, not below `index`, is of agreed_term.
    """

    index: int
    agreed_index: int
    agreed_term: int


@dataclass(slots=True, kw_only=True)
class EntryAnswer(Message):
    """The entry: `entries` holds its bytes (`data`) and their number (`sizes`, one)."""

    index: int
    entries: Any


def handlers(digests: DigestExchange, healing: Healing) -> dict[type[Message], Callable[[Any], None]]:
    """Who takes each of these messages."""
    return {
        DigestReport: digests.reported,
        DigestVerdict: digests.judged,
        EntryQuery: healing.asked,
        EntryAnswer: healing.answered,
    }
