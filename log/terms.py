"""Which term each entry is of, kept as the few places where the term changes: terms never fall along a log."""

from __future__ import annotations

from bisect import bisect_right

Runs = tuple[tuple[int, int], ...]
"""((first index, term), ...), ascending: one pair per change of term."""


class TermRuns:
    """The terms of a log's entries. O(log runs) per lookup, O(1) for the last run, where nearly all lookups fall."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._terms: list[int] = []

    @property
    def last_term(self) -> int:
        """The term of the last entry, 0 for an empty log."""
        return self._terms[-1] if self._terms else 0

    def extend(self, first_index: int, term: int) -> None:
        """Entries from `first_index` on are of `term`."""
        assert term >= self.last_term, f"term {term} at {first_index} after term {self.last_term}"
        if term != self.last_term:
            self._starts.append(first_index)
            self._terms.append(term)

    def cut(self, last_index: int) -> None:
        """Forget the entries above `last_index`."""
        while self._starts and self._starts[-1] > last_index:
            self._starts.pop()
            self._terms.pop()

    def term_at(self, index: int) -> int:
        """The term of an entry of the log; 0 for index 0."""
        starts = self._starts
        if starts and index >= starts[-1]:
            return self._terms[-1]
        position = bisect_right(starts, index) - 1
        return self._terms[position] if position >= 0 else 0

    def runs(self, first: int, last: int) -> Runs:
        """The runs of the entries first..last, the first pair beginning at `first`; () when there are none."""
        if first > last:
            return ()
        position = bisect_right(self._starts, first) - 1
        found = [(first, self._terms[position])]
        for start, term in zip(self._starts[position + 1 :], self._terms[position + 1 :], strict=True):
            if start > last:
                break
            found.append((start, term))
        return tuple(found)
