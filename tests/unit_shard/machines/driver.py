"""Applies commands to one machine that keeps live entries, without a shard, and compares it with one that is rebuilt."""

from __future__ import annotations

import msgpack
from ocelog.shard.machines.base import RELEASE, Commit

SESSION = 7


class Driver:
    """Applies commands at ascending indexes and times, fires timers, and keeps the books on live entries."""

    def __init__(self, machine):
        self.type = machine
        self.machine = machine()
        self.log = {}
        self.live = set()
        self.timers = []
        self.events = []
        self.time = 1000

    def run(self, name, *arguments):
        index = len(self.log) + 1
        operation = self.type.operations[name]
        self.log[index] = name, arguments, self.time
        if operation.mode == RELEASE:
            self.live.add(index)
        try:
            result = operation.function(self.machine, Commit(index, self.time, SESSION), *arguments)
        except Exception:
            self.machine.forget_pending()  # as a shard does, which also releases the entry
            self.live.discard(index)
            raise
        self._take(index)
        return result

    def ask(self, name, *arguments):
        return self.type.operations[name].function(self.machine, Commit(len(self.log), self.time, 1), *arguments)

    def _take(self, index):
        for released in self.machine.pending_releases:
            self.live.remove(released)  # a KeyError is an entry that was released twice
        self.timers += [(due, index, method, more) for due, method, more in self.machine.pending_timers]
        self.timers = [timer for timer in self.timers if timer[1] in self.live]
        for _, data in self.machine.pending_events:
            unpacker = msgpack.Unpacker()
            unpacker.feed(data)
            self.events.append(list(unpacker)[1])
        self.machine.forget_pending()

    def pass_ms(self, milliseconds):
        self.time += milliseconds
        for timer in sorted(self.timers):
            if timer[0] <= self.time:
                due, index, method, arguments = timer
                getattr(self.machine, method)(Commit(len(self.log) + 1, due, 0), *arguments)
                self._take(index)

    def told(self):
        events, self.events = self.events, []
        return events

    def check(self):
        """What is live is what the machine says, and another one made of it is the same, with the same timers."""
        assert sorted(self.machine.live_entries()) == sorted(self.live)
        machine, timers = self.type(), []
        machine.install(self.machine.snapshot())
        for index in sorted(self.live):
            name, arguments, time = self.log[index]
            self.type.operations[name].restoring(machine, Commit(index, time, SESSION), *arguments)
            assert not machine.pending_releases
            timers += [(due, index, method, more) for due, method, more in machine.pending_timers]
            machine.forget_pending()
        assert list(machine.live.items()) == list(self.machine.live.items())
        assert repr(sorted(vars(machine).items())) == repr(sorted(vars(self.machine).items()))
        assert timers == sorted(self.timers, key=lambda timer: timer[1])
