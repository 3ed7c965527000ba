"""One resource that sessions hold or wait for, through an executor; for the tests of lock, read-write lock and semaphore."""

from __future__ import annotations

import msgpack
from ocelog.client.protocol.events import unpack_batch
from ocelog.log.entry import SNAPSHOT, UNREGISTER
from ocelog.shard.machines.base import Commit


class Door:
    """One resource of a kind and three sessions; requests are numbered by the caller."""

    def __init__(self, entries, kit, kind):
        self.entries, self.kit = entries, kit
        self.sessions = [entries.register(key=bytes((97 + n,)) * 16) for n in range(3)]
        self.resource = entries.open(self.sessions[0], 1, kind)
        self._sequences = dict.fromkeys(self.sessions, 1) | {self.sessions[0]: 2}

    @property
    def machine(self):
        return self.entries.executor.resources[self.resource].machine

    def run(self, who, name, *arguments, pass_ms=0):
        session = self.sessions[who]
        sequence = self._sequences[session]
        self._sequences[session] += 1
        operation = self.kit.operation(self.resource, name, *arguments)
        code, value = self.entries.command(session, sequence, operation, pass_ms=pass_ms)
        return value if code == 0 else (code, value)

    def ask(self, name):
        return getattr(self.machine, name)(Commit(self.index, 0, 0))

    def end(self, who):
        self.entries.add((UNREGISTER, SNAPSHOT, 0, self.sessions[who], 0, b""))

    def answers(self, who):
        batches = self.entries.executor.sessions.get(self.sessions[who]).events
        return [event.value for batch in batches for event in unpack_batch(batch.payload)]

    @property
    def index(self):
        return len(self.entries.log)

    @property
    def holders(self):
        """Who holds: whose session, and the number of the request."""
        return [(self.sessions.index(holder.session), holder.number) for holder in self.machine.holders]

    @property
    def waiters(self):
        """Who waits, likewise."""
        return [(self.sessions.index(waiter.session), waiter.number) for waiter in self.machine.waiters]

    def delete(self):
        """Delete the resource, which its machine is told before."""
        self.machine.deleted(Commit(self.index + 1, 0, 0))
        told = [(list(sessions), msgpack.unpackb(b"\x92" + value)) for sessions, value in self.machine.pending_events]
        self.machine.forget_pending()
        return [(self.sessions.index(session), answer) for (session,), (_, answer) in told]
