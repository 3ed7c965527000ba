"""The router's small parts: who leads, numbers for clients, bundles within their bounds, the argument."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.client.protocol.frames import BUNDLE_ITEMS_MAX, NO_LEADER_KNOWN, Item, pack_bundle
from ocelog.cluster.errors import ConfigError
from ocelog.cluster.router.clients import IDLE_S, Clients
from ocelog.cluster.router.config import RouterConfig
from ocelog.cluster.router.gather import WAITING_MAX, Asker, Gathering, merged
from ocelog.cluster.router.leaders import Leaders
from ocelog.cluster.router.sockets import bundles

# -- who leads ---------------------------------------------------------------------------------------


@pytest.fixture
def leaders() -> Leaders:
    """Two shards of three; member 4 (replica 1 of shard 1) leads term 5."""
    made = Leaders(2, 3)
    assert made.learn(4, 5, 1)
    return made


def test_the_highest_term_wins(leaders):
    assert not leaders.learn(3, 4, 0)
    assert leaders.targets == [None, 4]
    assert leaders.learn(3, 6, 2)
    assert leaders.targets == [None, 5]


def test_news_without_a_leader_do_not_unseat_one(leaders):
    assert not leaders.learn(3, 9, NO_LEADER_KNOWN)
    assert leaders.targets[1] == 4


def test_a_leader_that_steps_down_is_believed(leaders):
    assert leaders.learn(4, 5, NO_LEADER_KNOWN)
    assert leaders.targets[1] is None


def test_an_old_denial_of_the_leader_is_ignored(leaders):
    leaders.learn(4, 4, NO_LEADER_KNOWN)
    assert leaders.targets[1] == 4


def test_a_lost_leader_is_restored_for_its_term_by_its_own_word_alone(leaders):
    assert leaders.lost(4)
    assert not leaders.learn(3, 5, 1)
    assert leaders.targets[1] is None
    assert leaders.learn(4, 5, 1)
    assert leaders.targets[1] == 4


def test_a_replica_number_that_does_not_exist_is_ignored(leaders):
    assert not leaders.learn(3, 9, 3)
    assert leaders.targets[1] == 4


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.sampled_from([0, 1, 2, 3, NO_LEADER_KNOWN]))))
def test_terms_never_fall_and_targets_stay_in_their_shard(news):
    leaders = Leaders(2, 3)
    for by, term, leader in news:
        before = list(leaders.terms)
        leaders.learn(by, term, leader)
        assert all(old <= new for old, new in zip(before, leaders.terms, strict=True))
    for shard, target in enumerate(leaders.targets):
        assert target is None or target // 3 == shard


# -- numbers for clients -----------------------------------------------------------------------------


def test_a_client_keeps_its_number_while_it_speaks():
    clients = Clients()
    for round_number in range(10):
        clients.age(round_number * IDLE_S / 2)
        assert clients.route_of(b"ada") == 1
    assert clients.identities == {1: b"ada"}


def test_a_silent_client_is_forgotten_after_the_idle_time_and_not_before_its_half():
    clients = Clients()
    clients.age(0.0)
    clients.route_of(b"ada")
    clients.age(IDLE_S / 2 - 1)
    clients.age(IDLE_S / 2)
    assert len(clients) == 1
    clients.age(IDLE_S)
    assert len(clients) == 0


def test_numbers_begin_at_one_and_never_return():
    clients = Clients()
    given_out = []
    for number in range(5):
        given_out.append(clients.route_of(b"%d" % number))
        clients.forget(b"%d" % number)
    assert given_out == [1, 2, 3, 4, 5]
    assert len(clients) == 0


@given(st.lists(st.tuples(st.sampled_from("sfa"), st.integers(0, 30)), max_size=200))
def test_both_directions_agree_and_stay_bounded(steps):
    clients = Clients(clients_max=10)
    now = 0.0
    for step, number in steps:
        identity = b"%d" % number
        if step == "s":
            assert clients.identities[clients.route_of(identity)] == identity
        elif step == "f":
            clients.forget(identity)
            assert identity not in clients.everyone()
        else:
            now += IDLE_S / 2
            clients.age(now)
        assert len(clients) <= 10
        assert len(set(clients.everyone())) == len(clients)


# -- bundles -----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60))
def test_bundles_keep_order_and_bounds(sizes):
    items = [Item(number, [bytes(size)]) for number, size in enumerate(sizes)]
    split = list(bundles(items, 500))
    assert [item for some in split for item in some] == items
    assert all(len(some) == 1 or sum(len(parts[0]) for _, parts in some) <= 500 for some in split)
    assert all(split)


def test_a_bundle_holds_no_more_messages_than_it_may():
    items = [Item(1, [b""])] * (2 * BUNDLE_ITEMS_MAX + 1)
    assert [len(some) for some in bundles(items, 1 << 30)] == [BUNDLE_ITEMS_MAX, BUNDLE_ITEMS_MAX, 1]
    for some in bundles(items, 1 << 30):
        pack_bundle(some)


# -- status ------------------------------------------------------------------------------------------


def test_of_two_that_claim_to_lead_the_later_term_counts():
    reports = {0: {"role": "leader", "term": 3}, 2: {"role": "leader", "term": 4}}
    (shard,) = merged("ab", 1, 3, reports)["shards"]
    assert (shard["leader"], shard["term"]) == (2, 4)


@given(st.binary(max_size=100))
def test_a_report_that_cannot_be_read_is_as_good_as_none(body):
    gathering = Gathering()
    gathering.ask(Asker(b"ada", 1))
    gathering.start({0}, 0.0)
    gathering.add(0, 1, body)
    assert len(gathering.finished(0.0)) == 1
    status = merged("ab", 1, 1, gathering.reports)
    assert json.dumps(status, default=repr)


def test_those_who_wait_for_a_status_are_bounded():
    gathering = Gathering()
    assert all(gathering.ask(Asker(b"ada", number)) for number in range(WAITING_MAX))
    assert not gathering.ask(Asker(b"ada", 0))


# -- the argument ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "3", "{}", '{"cluster_id": 1}', '{"settings": 5}'])
def test_an_argument_that_cannot_be_read_says_so(text):
    with pytest.raises(ConfigError, match=r"router's argument|settings|section"):
        RouterConfig.from_json(text)
