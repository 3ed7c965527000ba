"""Stories of events and sessions: what a seed meets rarely or never, on a calm cluster with every checker watching.

That events come once, in order, and settled means handled is looked at by the checkers; a story makes sure that it happens.
"""

from __future__ import annotations

from ocelog.client.protocol import frames
from ocelog.shard.raft.messages import HeartbeatResponse

from .client import SimClient
from .network import Frames
from .scheduler import MS, SECOND
from .stage import Stage, message_of


def listening(**overrides: object) -> tuple[Stage, SimClient, SimClient]:
    """A writer, and a listener to its counter, at different routers."""
    stage = Stage(**{"clients": 2, "routers": 2, **overrides})
    writer, listener = stage.simulation.clients
    listener.working = False
    stage.run_until(lambda: not stage.simulation.workload.open)
    while listener.connection.endpoint == writer.connection.endpoint or not listener.connection.ready:
        listener.reconnect()
        stage.run(SECOND // 4)
    begin(stage, listener, "counter", "listen", None)
    return stage, writer, listener


def begin(stage: Stage, client: SimClient, resource: str, *parts: object, level: int | None = None) -> None:
    """Run a command of this client to its end."""
    operation = client.submit(resource, parts, serial=stage.simulation.workload.next_serial(), level=level)
    client.act()
    stage.run_until(lambda: operation not in stage.simulation.workload.open)


def add(stage: Stage, client: SimClient, level: int | None = None) -> None:
    """Add to the counter what nobody else adds; the listener's first event is that of the first."""
    begin(stage, client, "counter", "add", stage.simulation.workload.serial + 1, level=level)


def given_to(client: SimClient) -> list[int]:
    """The indexes of the batches that the client is given from now on."""
    given: list[int] = []
    client.on_given.append(lambda _, batch: given.append(batch.index))
    return given


def test_events_follow_a_client_to_another_router() -> None:
    """Its router dies; what was published meanwhile comes over the next one, and nothing twice."""
    stage, writer, listener = listening()
    given = given_to(listener)
    add(stage, writer)
    stage.run_until(lambda: len(given) == 1)
    before = listener.connection.endpoint
    router = next(router for router in stage.simulation.routers if f"ipc://{router.name}" == before)
    router.kill()
    add(stage, writer)
    stage.run_until(lambda: len(given) == 2)
    assert listener.connection.endpoint != before


def test_a_new_leader_pushes_what_nobody_has_handled_at_once() -> None:
    """Routers tell it where everybody is, so that no client has to speak first."""
    stage, writer, listener = listening()
    add(stage, writer)
    given = given_to(listener)
    old = stage.leader
    published = stage.observer.model.events.published[listener.session.envelope.session]
    stage.run(SECOND)
    # The event is committed and its push lost with the leader.
    stage.network.parks = lambda source, to, parked: source == old.name and to.startswith("router")
    serial = stage.simulation.workload.next_serial()
    operation = writer.submit("counter", ("add", serial), serial=serial)
    writer.act()
    stage.run_until(lambda: len(published) == 2)
    stage.run(20 * MS)
    old.kill(power_loss=False)
    stage.network.parked, stage.network.parks = [], None
    listener.pause(10 * SECOND)
    stage.run_until(lambda: any(host.leads for host in stage.hosts if host is not old))
    listener.paused_until = stage.scheduler.now
    stage.run(300 * MS)
    assert len(given) == 1
    stage.run_until(lambda: operation not in stage.simulation.workload.open)


def test_a_late_message_of_an_old_connection_draws_no_events() -> None:
    """A lower connection number is never taken for where the client is."""
    stage, writer, listener = listening()
    session = listener.session.envelope.session
    old = listener.connection.endpoint.removeprefix("ipc://")
    leader = stage.leader

    def of_the_session(source: str, to: str, parts: Frames) -> bool:
        return source == old and to == leader.name and session.to_bytes(8, "little") in parts[0][:200]

    stage.network.parks = of_the_session
    reading = listener.submit("counter", ("get",), is_query=True)
    listener.act()
    stage.run_until(lambda: bool(stage.network.parked))
    while listener.connection.endpoint == f"ipc://{old}" or not listener.connection.ready:
        listener.reconnect()
        stage.run(SECOND // 4)
    stage.run_until(lambda: reading not in stage.simulation.workload.open)
    stage.network.parks = None
    stage.network.deliver_parked()
    stage.run(20 * MS)
    place = leader.replica.leadership.pushes.routes.of(session)
    assert place is not None and f"ipc://{place.router.decode()}" == listener.connection.endpoint, place
    given = given_to(listener)
    add(stage, writer)
    stage.run(100 * MS)
    assert len(given) == 1


def test_a_command_waits_for_a_listener_that_hangs_no_longer_than_its_timeout() -> None:
    """Then that session is expired, however well its client keeps it alive, and the call returns."""
    stage, writer, listener = listening(session_timeout=2.0, handle_never=1.0)
    listener.working = True  # so that the handler takes its chances
    began = stage.scheduler.now
    add(stage, writer, level=frames.LINEARIZABLE)
    waited = stage.scheduler.now - began
    assert 1.9 * SECOND < waited < 4 * SECOND, waited
    stage.run_until(lambda: not listener.handler.stuck)


def test_who_hangs_is_expired_by_the_next_leader_too() -> None:
    """The client comes over another router and says first that it has everything, so that there is nothing to push."""
    stage, writer, listener = listening(session_timeout=2.0, handle_never=1.0)
    listener.working = True
    given = given_to(listener)
    serial = stage.simulation.workload.next_serial()
    operation = writer.submit("counter", ("add", serial), serial=serial, level=frames.LINEARIZABLE)
    writer.act()
    stage.run_until(lambda: len(given) == 1)
    stage.run(SECOND // 2)
    old = stage.leader
    old.kill(power_loss=False)
    next(router for router in stage.simulation.routers if f"ipc://{router.name}" == listener.connection.endpoint).kill()
    stage.run_until(lambda: any(host.leads for host in stage.hosts))
    old.start()
    stage.run_until(lambda: operation not in stage.simulation.workload.open)
    assert operation.call.error is None


def test_a_lost_push_is_repeated() -> None:
    """The only message with the event is lost, and nothing else happens that could bring it."""
    stage, writer, listener = listening(session_timeout=30.0)
    add(stage, writer)
    given = given_to(listener)
    stage.network.parks = lambda source, to, parts: to == listener.name and parts[1][1] == frames.EVENTS
    add(stage, writer)
    stage.run_until(lambda: bool(stage.network.parked))
    assert not given
    stage.network.parked, stage.network.parks = [], None
    stage.run_until(lambda: len(given) == 1)


def test_a_lease_counts_from_when_its_round_left() -> None:
    """The answers to a leader's last round come when another one leads already, and it was paused meanwhile."""
    stage, _, reader = listening()
    stage.put("k0")
    stage.run(SECOND)
    old = stage.leader

    def answer_to_a_round(source: str, to: str, parts: Frames) -> bool:
        return to == old.name and isinstance(message_of(parts), HeartbeatResponse)

    stage.network.parks = answer_to_a_round
    stage.run_until(lambda: len(stage.network.parked) >= 2)
    old.pause(20 * SECOND)
    side = [old.name, reader.name, reader.connection.endpoint.removeprefix("ipc://")]
    stage.network.separate(side, [name for name in stage.network.names if name not in side])
    stage.run_until(lambda: stage.leader is not old)
    stage.put("k0")
    stage.network.parks = None
    stage.network.deliver_parked()
    old.pause(0)
    operation = reader.submit("map", ("get", b"k0"), is_query=True, level=frames.BOUNDED_LINEARIZABLE)
    reader.act()
    stage.run(SECOND // 5)
    assert old.leads, "it does not know yet"
    assert operation in stage.simulation.workload.open
    stage.network.heal()
    stage.run_until(lambda: operation not in stage.simulation.workload.open)
