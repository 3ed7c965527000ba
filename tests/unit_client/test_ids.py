"""What a client does with the ids that it has reserved."""

from __future__ import annotations

import threading

import ocelog
import pytest
from ocelog.client.ids import STOCKS_MAX, Stock, Stocks
from ocelog.client.protocol.errors import OutcomeUnknown


def taken(stock, count):
    return [stock.take() for _ in range(count)]


def test_ids_are_given_once_and_in_order():
    stock = Stock()
    assert stock.take() is None
    stock.add(1, 2)
    stock.add(11, 2)
    assert taken(stock, 5) == [1, 2, 11, 12, None]


@pytest.mark.parametrize("given", [True, False])
def test_a_block_below_what_there_was_is_skipped(given):
    """Two threads have reserved, and the one whose block is lower comes second."""
    stock = Stock()
    stock.add(1001, 1000)
    if given:
        assert stock.take() == 1001
    stock.add(1, 1000)
    left = range(1001 + given, 2001)
    assert taken(stock, len(left) + 1) == [*left, None]


def test_what_is_below_an_id_from_elsewhere_is_skipped():
    stock = Stock()
    stock.add(1, 3)
    stock.add(10, 3)
    stock.given(11)
    assert taken(stock, 2) == [12, None]
    stock = Stock()
    stock.add(1, 3)
    stock.given(50)
    stock.add(4, 3)
    assert stock.take() is None
    stock.given(20)
    stock.add(30, 3)
    assert stock.take() is None, "50 was given"


def test_one_at_a_time_fetches_more():
    stock = Stock()
    stock.add(1, 10)
    assert not stock.begin_refill(5)
    taken(stock, 6)
    assert stock.begin_refill(5)
    assert not stock.begin_refill(5)
    stock.add(11, 10)
    stock.end_refill()
    assert not stock.begin_refill(5)
    taken(stock, 10)
    assert stock.begin_refill(5)


def test_threads_never_get_the_same_id_and_each_a_growing_one():
    stock, reserved, lists = Stock(), [0], []
    lock = threading.Lock()

    def work():
        mine = []
        while len(mine) < 3000:
            number = stock.take()
            if number is None:
                with lock:
                    first, reserved[0] = reserved[0] + 1, reserved[0] + 7
                stock.add(first, 7)
            else:
                mine.append(number)
        lists.append(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in lists)
    assert len({number for mine in lists for number in mine}) == 12_000


def test_a_deleted_generator_begins_anew():
    stocks = Stocks()
    stocks.of("a").add(1, 5)
    assert stocks.of("a") is stocks.of("a")
    assert stocks.of("a").take() == 1
    stocks.forget("a")
    assert stocks.of("a").take() is None


def test_what_is_remembered_is_bounded():
    stocks = Stocks()
    for number in range(STOCKS_MAX + 10):
        stocks.of(str(number))
    assert len(stocks) == STOCKS_MAX


def test_a_block_that_was_not_heard_of_is_skipped(router):
    with ocelog.connect(router.endpoint) as client:
        ids = client.id_generator("orders", block=10)
        client.counter("orders").get()
        shard = next(shard for shard in router.shards if shard.resources)
        shard.autocommit = False
        with pytest.raises(OutcomeUnknown):
            ids.next_id(timeout=0.1)
        shard.autocommit = True
        assert [ids.next_id() for _ in range(3)] == [11, 12, 13]
