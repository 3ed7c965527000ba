"""Finding a router: rotation, greetings, pauses, and why an endpoint was passed over."""

from __future__ import annotations

from random import Random

import msgpack
import pytest
from ocelog.client.backoff import Fibonacci
from ocelog.client.connection import ATTEMPT_SECONDS, ROUTERS_MAX, Connection, Event
from ocelog.client.protocol import errors, frames
from ocelog.client.protocol.limits import SLOTS

ENDPOINTS = ["tcp://a:1", "tcp://b:1", "tcp://c:1"]


class ScriptedTransport:
    """Remembers what it was told; says nothing by itself."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.current: str | None = None
        self.sent: list[frames.Request] = []
        self.unusable: set[str] = set()

    def open(self, endpoint: str) -> None:
        if endpoint in self.unusable:
            raise OSError(22, "Invalid argument")
        self.opened.append(endpoint)
        self.current = endpoint

    def close(self) -> None:
        self.current = None

    def send(self, message) -> None:
        self.sent.append(frames.parse_request(message)[0])

    def receive(self):
        return None

    def event(self):
        return None


class Scene:
    """A connection, its transport and a clock."""

    def __init__(self, kit, endpoints=ENDPOINTS, retry=None) -> None:
        self.reply = kit.reply
        self.transport = ScriptedTransport()
        self.connection = Connection(endpoints, self.transport, Random(1), retry)
        self.now = 100.0

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.connection.wake_at <= end:
            self.now = max(self.now, self.connection.wake_at)
            self.connection.tick(self.now)
        self.now = end

    def event(self, event: Event) -> None:
        self.connection.event(event, self.now)

    def welcome(
        self, *, cluster: str = "c1", slots=((0, SLOTS - 1, 0),), request: int | None = None, routers=None
    ) -> bool:
        body = msgpack.packb({"cluster_id": cluster, "slots": slots, "routers": routers})
        number = self.transport.sent[-1].request if request is None else request
        message = self.reply(frames.WELCOME, body=body, shard=frames.NO_SHARD, request=number)
        return self.connection.receive(message, self.now)

    def connect(self, **fields) -> None:
        self.advance(0)
        self.event(Event.OPENED)
        assert self.welcome(**fields)


@pytest.fixture
def scene(kit):
    return Scene(kit)


def test_the_first_endpoint_is_greeted_and_its_welcome_makes_it_ready(scene):
    scene.connect()
    assert scene.connection.ready
    assert scene.connection.endpoint == "tcp://a:1"
    assert scene.connection.slots.shard_of(b"x") == 0
    (hello,) = scene.transport.sent
    assert (hello.kind, hello.shard, hello.connection) == (frames.HELLO, frames.NO_SHARD, 1)
    scene.advance(1000)
    assert scene.transport.opened == ["tcp://a:1"]


def test_endpoints_that_refuse_are_passed_at_once_and_the_round_is_paused(scene):
    for _ in range(3):
        scene.advance(0)
        scene.event(Event.LOST)
    assert scene.transport.opened == ENDPOINTS
    scene.advance(0)
    assert len(scene.transport.opened) == 3, "a whole round failed: a pause"
    scene.advance(0.1)
    assert scene.transport.opened == [*ENDPOINTS, "tcp://a:1"]
    assert "refused" in scene.connection.reasons["tcp://b:1"]


def test_pauses_between_rounds_grow_to_a_second_and_are_never_given_up(kit):
    scene = Scene(kit, ["tcp://a:1"])
    pauses = []
    for _ in range(12):
        before = scene.now
        while len(scene.transport.opened) == len(pauses):
            scene.advance(0.01)
            assert scene.now < before + 2
        pauses.append(scene.now - before)
        scene.event(Event.LOST)
    assert pauses[1] < 0.1
    assert 0.7 < pauses[-1] < 1.3


def test_a_lost_router_is_left_for_the_next_one_at_once_under_a_higher_number(scene):
    scene.connect()
    scene.event(Event.LOST)
    assert not scene.connection.ready
    scene.advance(0)
    assert scene.transport.current == "tcp://b:1"
    scene.event(Event.OPENED)
    assert scene.connection.number == 2
    assert scene.welcome()


def test_a_lone_router_that_was_lost_is_tried_again_at_once(kit):
    scene = Scene(kit, ["tcp://a:1"])
    scene.connect()
    scene.event(Event.LOST)
    scene.advance(0)
    assert scene.transport.opened == ["tcp://a:1", "tcp://a:1"]


@pytest.mark.parametrize("opened", [False, True])
def test_a_silent_endpoint_is_passed_over_after_a_while(scene, opened):
    scene.advance(0)
    if opened:
        scene.event(Event.OPENED)
    scene.advance(ATTEMPT_SECONDS + 0.01)
    assert scene.transport.current == "tcp://b:1"
    assert ("does not answer" if opened else "no connection") in scene.connection.reasons["tcp://a:1"]


def test_a_router_of_another_version_is_passed_over_with_its_reason(scene):
    scene.advance(0)
    scene.event(Event.OPENED)
    request = scene.transport.sent[-1].request
    fields = {"shard": frames.NO_SHARD, "request": request, "code": errors.UNKNOWN_VERSION}
    assert not scene.connection.receive(scene.reply(frames.REFUSED, body=b"speak 2", **fields), scene.now)
    assert "UNKNOWN_VERSION: speak 2" in scene.connection.reasons["tcp://a:1"]
    scene.advance(0)
    assert scene.transport.current == "tcp://b:1"


def test_a_router_of_another_cluster_is_passed_over(scene):
    scene.connect()
    scene.event(Event.LOST)
    scene.advance(0)
    scene.event(Event.OPENED)
    assert not scene.welcome(cluster="c2")
    assert "another cluster" in scene.connection.reasons["tcp://b:1"]


@pytest.mark.parametrize("slots", [[[0, 10, 0]], "nonsense", [[0, SLOTS, 0]], None])
def test_a_welcome_that_cannot_be_read_is_a_reason_not_a_crash(scene, slots):
    scene.advance(0)
    scene.event(Event.OPENED)
    assert not scene.welcome(slots=slots)
    assert "cannot be read" in scene.connection.reasons["tcp://a:1"]


def test_a_late_welcome_of_an_endpoint_that_was_left_counts_for_nothing(scene):
    scene.advance(0)
    scene.event(Event.OPENED)
    old = scene.transport.sent[-1].request
    scene.event(Event.LOST)
    scene.advance(0)
    scene.event(Event.OPENED)
    assert not scene.welcome(request=old)
    assert scene.welcome()


def test_an_endpoint_the_transport_cannot_use_is_passed_over(scene):
    scene.transport.unusable.add("tcp://a:1")
    scene.advance(0)
    assert scene.transport.opened == ["tcp://b:1"]
    assert "Invalid argument" in scene.connection.reasons["tcp://a:1"]


def test_routers_that_a_welcome_tells_of_are_tried_after_those_that_were_given(kit):
    scene = Scene(kit, ["tcp://a:1"])
    scene.connect(routers=["tcp://b:2", "nonsense", 7, "tcp://a:1", "ipc:///run/c"])
    assert scene.connection.endpoints == ["tcp://a:1", "tcp://b:2", "ipc:///run/c"]
    scene.event(Event.LOST)
    scene.advance(0)
    assert scene.transport.current == "tcp://b:2"
    scene.event(Event.OPENED)
    assert scene.welcome()
    assert scene.connection.endpoint == "tcp://b:2"


def test_the_router_in_use_stays_known_when_others_no_longer_tell_of_it(kit):
    scene = Scene(kit, ["tcp://a:1"])
    scene.connect(routers=["tcp://b:2"])
    scene.event(Event.LOST)
    scene.connect(routers=["tcp://c:3"])
    assert scene.connection.endpoint == "tcp://b:2"
    assert scene.connection.endpoints == ["tcp://a:1", "tcp://c:3", "tcp://b:2"]


def test_no_more_routers_are_learnt_than_are_remembered(kit):
    scene = Scene(kit, ["tcp://a:1"])
    scene.connect(routers=[f"tcp://r{n}:1" for n in range(1000)])
    assert len(scene.connection.endpoints) <= 1 + ROUTERS_MAX


@pytest.mark.parametrize("routers", [None, 3, {}, [["tcp://b:1"]], [None]])
def test_routers_that_cannot_be_read_are_none(kit, routers):
    scene = Scene(kit, ["tcp://a:1"])
    scene.connect(routers=routers)
    assert scene.connection.endpoints == ["tcp://a:1"]


def test_a_router_that_is_of_no_use_is_left_for_the_others_and_tried_after_them(scene):
    scene.connect()
    scene.connection.move_on(scene.now)
    assert not scene.connection.ready
    for endpoint in ("tcp://b:1", "tcp://c:1"):
        scene.advance(0)
        assert scene.transport.current == endpoint
        scene.event(Event.LOST)
    scene.advance(0)
    assert scene.transport.current == "tcp://a:1"
    scene.event(Event.OPENED)
    assert scene.welcome()


def test_a_lone_router_is_not_left(kit):
    scene = Scene(kit, ["tcp://a:1"])
    scene.connect()
    scene.connection.move_on(scene.now)
    assert scene.connection.ready


def test_rounds_in_which_no_router_answered_are_counted_until_one_does(scene):
    for _ in range(2 * len(ENDPOINTS)):
        scene.advance(max(0.0, scene.connection.wake_at - scene.now))
        scene.event(Event.LOST)
    assert scene.connection.rounds == 2
    scene.advance(scene.connection.wake_at - scene.now)
    scene.event(Event.OPENED)
    assert scene.welcome()
    assert scene.connection.rounds == 0


def test_pauses_follow_the_users_strategy(kit):
    scene = Scene(kit, ["tcp://a:1"], retry=Fibonacci(1.0, 8.0))
    pauses = []
    for _ in range(8):
        scene.advance(max(0.0, scene.connection.wake_at - scene.now))
        scene.event(Event.LOST)
        pauses.append(scene.connection.wake_at - scene.now)
    for pause, expected in zip(pauses, [1, 1, 2, 3, 5, 8, 8, 8], strict=True):
        assert 0.75 * expected <= pause <= 1.25 * expected, pauses
