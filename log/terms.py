"""Which term each entry is of, kept as the few places where the term changes: terms never fall along a log."""

from __future__ import annotations

from bisect import bisect_right

Runs = tuple[tuple[int, int], ...]
"""((first index, term), ...), ascending: one pair per change of term."""


class TermRuns:
    """The terms of a log's entries from the dense index D on. O(log runs) per lookup, O(1) for the last run, where nearly all
    lookups fall. What is below D is not known any more."""

    def __init__(self, dense_index: int = 0, term: int = 0) -> None:
        self._starts: list[int] = []
        self._terms: list[int] = []
        self.reset(dense_index, term)

    @property
    def last_term(self) -> int:
        """The term of the last entry, 0 for an empty log."""
        return self._terms[-1] if self._terms else 0

    def reset(self, dense_index: int, term: int) -> None:
        """Know nothing but the term at D."""
        self._starts[:] = [dense_index] if dense_index else []
        self._terms[:] = [term] if dense_index else []

    def rebase(self, dense_index: int) -> None:
        """D rises: forget the terms below it."""
        term = self.term_at(dense_index)
        behind = bisect_right(self._starts, dense_index)
        self._starts[:behind] = [dense_index]
        self._terms[:behind] = [term]

    def extend(self, first_index: int, term: int) -> None:
        """Entries from `first_index` on are of `term`."""
        assert term >= self.last_term, f"term {term} at {first_index} after term {self.last_term}"
        if term != self.last_term:
            self._starts.append(first_index)
            self._terms.append(term)

    def cut(self, last_index: int) -> None:
        """Forget the entries above `last_index`, which is not below D."""
        while self._starts and self._starts[-1] > last_index:
            self._starts.pop()
            self._terms.pop()

    def term_at(self, index: int) -> int:
        """The term of an entry above D or at it; 0 for index 0."""
        starts = self._starts
        if starts and index >= starts[-1]:
            return self._terms[-1]
        position = bisect_right(starts, index) - 1
        if position < 0:
            assert index == 0, f"the term of entry {index} is asked for, and not known"
            return 0
        return self._terms[position]

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
