"""The barrier: so many parties wait for one another, again and again, or enter and leave together.

    step = client.barrier("step")
    passed = step.wait(3, timeout=30)      # returns in three places at once; passed.generation counts the times
    entered = step.enter(3, timeout=30)    # the same, and the three of them are inside
    step.leave(entered, timeout=30)        # returns when all three have left
    step.reset(1)                          # a barrier that broke in generation 1 may be used again

SNAPSHOT: who has arrived, who is inside and who waits to leave follows from many entries, and is small. Nothing is restored:
the snapshot is the whole state, and the timers are in the shard's.

The first who arrives says how many parties there are. Nobody passes before so many have arrived, and nobody while somebody of
an earlier generation is inside. Those who pass do so by one entry, in the order in which they came.

A barrier breaks when one who waits to pass gives up or its session ends: all others who wait would wait in vain. It stays broken,
and tells that to whoever comes, until `reset`; by its generation, so that the second who resets it does not break it again.
Whoever is inside is out when it leaves or its session ends, which breaks nothing.

The answer to a request is [generation, arrival, session, number]: `arrival` is the place in the order of coming, from 0, or None
for a barrier that is broken. `leave` is answered with True. Either is answered with None when its time was over.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .alarms import Alarmed
from .base import SNAPSHOT, Commit, command, query
from .by_session import BySession
from .waiting import ANSWER, Waiter, Waiters, checked_wait, tell_deleted

PARTIES_MAX = 100_000
"""More sessions than these a shard does not have."""


class BarrierMachine(Alarmed):
    """Keeps the `generation` that gathers, for how many `parties` (None while nobody waits), and whether it is `broken`.

    `gathering` are the requests to pass: `wants` is when their patience ends and whether they stay inside. `inside` are those of
    the generation `inside_generation`, and `leaving` wait for them.
    """

    type_name: ClassVar[str] = "barrier"
    on_alarm: ClassVar[str] = "give_up"

    def __init__(self) -> None:
        super().__init__()
        self.generation = 1
        self.parties: int | None = None
        self.broken = False
        self.gathering = Waiters()
        self.inside_generation = 0
        self.inside: BySession[int, None] = BySession()
        self.leaving = Waiters()

    # -- coming and going ------------------------------------------------------------------------------

    @command(mode=SNAPSHOT)
    def wait(self, commit: Commit, number: int, wait_ms: int | None, parties: int) -> list[Any] | None:
        """Pass the barrier when so many have come: [answer], [None] when that is not to be waited for, None while it waits."""
        return self._arrive(commit, number, wait_ms, parties, False)

    @command(mode=SNAPSHOT)
    def enter(self, commit: Commit, number: int, wait_ms: int | None, parties: int) -> list[Any] | None:
        """The same, and be inside from then on, until `leave`."""
        return self._arrive(commit, number, wait_ms, parties, True)

    @command(mode=SNAPSHOT)
    def leave(
        self, commit: Commit, number: int, wait_ms: int | None, generation: int, entered: int
    ) -> list[Any] | None:
        """Who entered by that request is out; [True] when all of its generation are, None while that is waited for."""
        wait = checked_wait(wait_ms)
        self._check_unused(commit.session, number)
        if generation != self.inside_generation:
            return [True]
        self._go_out(commit.session, [entered])
        if not self.inside:
            return [True]
        if wait == 0:
            return [None]
        due = None if wait is None else commit.time + wait
        self.leaving.add(Waiter(commit.session, number, commit.index, due))
        self.wake_at(due)
        return None

    @command(mode=SNAPSHOT)
    def cancel(self, commit: Commit, number: int) -> None:
        """The request is taken back: who waited to pass breaks the barrier, and who had just entered is out."""
        if self.gathering.remove(commit.session, number) is not None:
            self._break()
        elif self.leaving.remove(commit.session, number) is None:
            self._go_out(commit.session, [number])

    @command(mode=SNAPSHOT)
    def reset(self, commit: Commit, generation: int | None = None) -> bool:
        """Begin a new generation, if that is the one that gathers or is broken (None: whichever it is); whether it was.

        Whoever waits to pass is told that the barrier is broken. Whoever is inside stays there.
        """
        if generation is not None and type(generation) is not int:
            raise TypeError(f"a generation is a whole number or nil, not {generation!r:.60}")
        if generation not in (None, self.generation):
            return False
        self._break()
        self.generation += 1
        self.broken = False
        return True

    @query
    def status(self, commit: Commit) -> list[Any]:
        """The generation, its parties (None while nobody waits), how many wait, if it is broken, how many are inside."""
        inside = sum(len(numbers) for numbers in self.inside.values())
        return [self.generation, self.parties, len(self.gathering), self.broken, inside]

    # -- what follows ----------------------------------------------------------------------------------

    def _arrive(self, commit: Commit, number: int, wait_ms: int | None, parties: int, stays: bool) -> list[Any] | None:
        wait = checked_wait(wait_ms)
        self._check_unused(commit.session, number)
        if not 1 <= parties <= PARTIES_MAX:
            raise ValueError(f"a barrier is for 1 to {PARTIES_MAX} parties, not {parties}")
        if self.broken:
            return [[self.generation, None, commit.session, number]]
        if self.parties not in (None, parties):
            raise ValueError(f"the barrier gathers {self.parties} parties, not {parties}")
        self.parties = parties
        due = None if wait is None else commit.time + wait
        self.gathering.add(Waiter(commit.session, number, commit.index, [due, stays]))
        answer = self._pass((commit.session, number))
        if answer is not None:
            return [answer]
        if wait == 0:
            self.gathering.remove(commit.session, number)
            self._forget_parties()
            return [None]
        self.wake_at(due)
        return None

    def _pass(self, own: tuple[int, int] | None = None) -> list[Any] | None:
        """Let generations pass while they are complete and nobody is inside; the answer to the request `own`, if it passed."""
        answer = None
        while self.parties is not None and not self.inside and len(self.gathering) >= self.parties:
            for arrival in range(self.parties):
                waiter = self.gathering.first()
                assert waiter is not None
                self.gathering.remove(waiter.session, waiter.number)
                passed = [self.generation, arrival, waiter.session, waiter.number]
                if waiter.wants[1]:
                    self.inside_generation = self.generation
                    self.inside.put(waiter.session, waiter.number, None)
                if own == (waiter.session, waiter.number):
                    answer = passed
                else:
                    self.publish(waiter.session, ANSWER, [waiter.number, passed])
            self.generation += 1
            self._forget_parties()
        return answer

    def _forget_parties(self) -> None:
        if not self.gathering:
            self.parties = None

    def _break(self) -> None:
        """Nobody who waits to pass can do so any more."""
        self.broken = True
        for waiter in list(self.gathering):
            self.gathering.remove(waiter.session, waiter.number)
            answer = [self.generation, None, waiter.session, waiter.number]
            self.publish(waiter.session, ANSWER, [waiter.number, answer])
        self.parties = None

    def _go_out(self, session: int, numbers: list[int]) -> None:
        """These are not inside, if they were; the last one lets go who waits for that, and who has come meanwhile."""
        was_inside = [number for number in numbers if number in self.inside.get(session, ())]
        for number in was_inside:
            self.inside.drop(session, number)
        if was_inside and not self.inside:
            self.inside_generation = 0
            for waiter in list(self.leaving):
                self.leaving.remove(waiter.session, waiter.number)
                self.publish(waiter.session, ANSWER, [waiter.number, True])
            self._pass()

    def _check_unused(self, session: int, number: int) -> None:
        waits = self.gathering.get(session, number) or self.leaving.get(session, number)
        if waits or number in self.inside.get(session, ()):
            raise ValueError(f"request {number} of session {session} was made already")

    # -- time and sessions -----------------------------------------------------------------------------

    def give_up(self, commit: Commit) -> None:
        """A timer: somebody's patience may be over."""
        self.drop_alarms(commit.time)
        impatient = [waiter for waiter in self.gathering if _is_over(waiter.wants[0], commit.time)]
        for waiter in impatient:
            self.gathering.remove(waiter.session, waiter.number)
            self.publish(waiter.session, ANSWER, [waiter.number, None])
        if impatient:
            self._break()
        for waiter in [waiter for waiter in self.leaving if _is_over(waiter.wants, commit.time)]:
            self.leaving.remove(waiter.session, waiter.number)
            self.publish(waiter.session, ANSWER, [waiter.number, None])
        dues = [waiter.wants[0] for waiter in self.gathering] + [waiter.wants for waiter in self.leaving]
        self.wake_at(min((due for due in dues if due is not None), default=None))

    def session_closed(self, commit: Commit) -> None:
        """A session that has ended waits no more, and is not inside."""
        self.leaving.end(commit.session)
        if self.gathering.end(commit.session):
            self._break()
        self._go_out(commit.session, list(self.inside.get(commit.session, ())))

    session_expired = session_closed

    def deleted(self, commit: Commit) -> None:
        """Whoever waits, to pass or to leave, is told."""
        tell_deleted(self, [*self.gathering, *self.leaving])

    def watches(self, session: int) -> bool:
        """Only who waits or is inside leaves anything behind."""
        return session in self.gathering or session in self.leaving or session in self.inside

    # -- the state -------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """The whole state; `inside` by session, whose order means nothing."""
        inside = [[session, number] for session in sorted(self.inside) for number in self.inside[session]]
        gathers = [self.generation, self.parties, self.broken, self.gathering.state()]
        return [*gathers, self.inside_generation, inside, self.leaving.state(), list(self.alarms)]

    def install(self, state: Any) -> None:
        """Take what `snapshot` returned. Raises TypeError or ValueError for anything else."""
        generation, parties, broken, gathering, inside_generation, inside, leaving, alarms = state
        if not type(generation) is type(inside_generation) is int or type(broken) is not bool:
            raise TypeError(f"a generation is a whole number, and broken or not: {state[:5]!r:.60}")
        if parties is not None and type(parties) is not int:
            raise TypeError(f"parties are a whole number or nil, not {parties!r:.60}")
        self.generation, self.parties, self.broken = generation, parties, broken
        self.install_alarms(alarms)
        self.gathering.install(gathering)
        self.leaving.install(leaving)
        self.inside_generation = inside_generation
        for session, number in inside:
            if not type(session) is type(number) is int:
                raise TypeError(f"who is inside is a session and a number, not {[session, number]!r:.60}")
            self.inside.put(session, number, None)
        if (parties is None) != (not self.gathering) or (inside_generation == 0) != (not self.inside):
            raise ValueError("parties are of who gathers, and a generation is inside with who is")
        if (broken and self.gathering) or (self.leaving and not self.inside):
            raise ValueError("nobody gathers at a broken barrier, or waits for nobody to leave")


def _is_over(due: int | None, time: int) -> bool:
    return due is not None and due <= time
