"""The figures of a cluster: what a collector reads, what it is told when there is nothing, and what the docs say."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ocelog.client.protocol.errors import BadArgument, ConnectFailed
from ocelog.cluster import metrics, scrape, status
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
COMPACTION = {"running": True, "runs": 3, "failures": 1, "snapshots": 2, "last_seconds": 0.25, "error": "no compactor"}


def replica(number: int, role: str = "follower", **fields: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(status.REPLICA_FIELDS[3:], 7)
    told = {**numbers, "compaction": COMPACTION, "diverged": False, "disagreeing": [], "silent": []}
    told |= {"membership": "active", **fields}
    return {"id": number, "pid": 1, "role": role, **(told if role != "down" else {})}


def router(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "endpoint": f"tcp://127.0.0.1:{number}", "pid": 1, "clients": None, **fields}


def report(**fields: Any) -> dict[str, Any]:
    replicas = [replica(0, "leader", disagreeing=[1]), replica(1, "down"), replica(2, no_space=True)]
    shards = [{"id": 0, "term": 9, "leader": 0, "replicas": replicas}]
    routers = [router(0, clients=4, up=True, cpu_seconds=1.5), router(1, up=False)]
    made = {"version": "1.0", "cluster_id": 'a"b\\c\nd', "compactor": None, "shards": shards, "routers": routers}
    return {**made, "healthy": False, **fields}


def read(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by sample name and labels, as the strict parser understands them."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


# -- the text ----------------------------------------------------------------------------------------


def test_a_strict_parser_reads_every_family_with_type_unit_and_help():
    families = {family.name: family for family in text_string_to_metric_families(metrics.text(report()))}
    assert list(families) == [metrics.PREFIX + family.name for family in metrics.FAMILIES if family.name in {
        name.removeprefix(metrics.PREFIX) for name in families}]  # fmt: skip
    for family in metrics.FAMILIES:
        found = families.get(metrics.PREFIX + family.name)
        if found is not None:
            assert (found.type, found.unit, found.documentation) == (family.kind, family.unit, family.help)
    assert {family.name for family in metrics.FAMILIES if family.scope != "router"} <= {
        name.removeprefix(metrics.PREFIX) for name in families
    }


def test_the_older_format_is_understood_as_well():
    names = {sample.name for family in read_prometheus(metrics.text(report())) for sample in family.samples}
    assert {"ocelog_replica_compactions_total", "ocelog_replica_up", "ocelog_router_clients"} <= names


def test_the_figures_are_those_of_the_status():
    found = read(metrics.text(report()))
    first = (("replica", "0"), ("shard", "0"))
    assert found["ocelog_replica_compactions_total"][first] == 3
    assert found["ocelog_replica_compaction_failures_total"][first] == 1
    assert found["ocelog_replica_compaction_failed"][first] == 1
    assert found["ocelog_replica_compaction_last_seconds"][first] == 0.25
    assert found["ocelog_replica_snapshot_pause_seconds"][first] == 0.007
    assert found["ocelog_replica_no_space"][("replica", "2"), ("shard", "0")] == 1
    assert found["ocelog_shard_term"][("shard", "0"),] == 9
    assert found["ocelog_compactor_up"] == {(): 0}
    assert found["ocelog_replica_role"][("ocelog_replica_role", "leader"), *first] == 1
    assert found["ocelog_replica_role"][("ocelog_replica_role", "follower"), *first] == 0


def test_divergence_has_series_of_its_own_also_of_a_replica_that_has_stopped():
    found = read(metrics.text(report()))
    assert found["ocelog_shard_diverged_replicas"] == {(("shard", "0"),): 1}
    assert found["ocelog_replica_diverged"] == {
        (("replica", "0"), ("shard", "0")): 0,
        (("replica", "1"), ("shard", "0")): 1,
        (("replica", "2"), ("shard", "0")): 0,
    }


def test_what_is_not_known_has_no_sample():
    found = read(metrics.text(report()))
    assert found["ocelog_replica_up"][("replica", "1"), ("shard", "0")] == 0
    assert (("replica", "1"), ("shard", "0")) not in found["ocelog_replica_term"]
    assert found["ocelog_router_up"] == {
        (("endpoint", "tcp://127.0.0.1:0"), ("router", "0")): 1,
        (("endpoint", "tcp://127.0.0.1:1"), ("router", "1")): 0,
    }
    assert len(found["ocelog_router_clients"]) == 1
    assert "ocelog_router_memory_bytes" not in found


def test_a_label_may_hold_anything():
    assert read(metrics.text(report()))["ocelog_cluster_info"] == {(("cluster_id", 'a"b\\c\nd'), ("version", "1.0")): 1}


def test_a_cluster_without_anything_is_no_error():
    assert metrics.text(report(shards=[], routers=[])).endswith("# EOF\n")
    assert set(read(metrics.text(report(shards=[], routers=[])))) == {
        "ocelog_cluster_info",
        "ocelog_healthy",
        "ocelog_compactor_up",
    }


def test_json_has_the_same_samples():
    pairs = [
        (family["name"], tuple(sorted(sample["labels"].items())), sample["value"])
        for family in metrics.as_json(report())
        for sample in family["samples"]
    ]
    assert {(name, labels) for name, labels, _ in pairs} == {
        (name, labels) for name, values in read(metrics.text(report())).items() for labels in values
    }


def test_every_figure_is_in_the_documentation_and_no_other():
    documented = re.findall(r"^\| `(ocelog_\w+)` \| (\w+) \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert documented == [(family.printed, family.kind, family.help) for family in metrics.FAMILIES]


# -- gathering ---------------------------------------------------------------------------------------


def test_every_router_tells_its_own_figures_and_one_that_is_silent_is_down():
    asked: list[str] = []

    def fetch(endpoints: Any, timeout: float) -> dict[str, Any]:
        asked.append(endpoints[0])
        known = {"tcp://127.0.0.1:0": 0, "tcp://127.0.0.1:1": 1, "start": 0}
        if endpoints[0] not in known:
            raise ConnectFailed("nobody there")
        rows = [router(number) for number in range(4)]
        rows[3]["pid"] = None
        rows[known[endpoints[0]]]["clients"] = 10 + known[endpoints[0]]
        return report(routers=rows)

    found = scrape.report(["start"], 5.0, fetch)
    assert [(row["up"], row["clients"]) for row in found["routers"]] == [
        (True, 10),
        (True, 11),
        (False, None),
        (False, None),
    ]
    assert sorted(asked) == ["start", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("9400", ("127.0.0.1", 9400)),
        (":0", ("127.0.0.1", 0)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_an_address_without_a_host_is_this_machines_loopback(address, meant):
    assert scrape.parse_address(address) == meant


@pytest.mark.parametrize("address", ["", "host", "host:", "host:65536", "host:-1", "host:x"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(BadArgument, match="HOST:PORT"):
        scrape.parse_address(address)


# -- over HTTP ---------------------------------------------------------------------------------------


class Served:
    """A server on a free port whose figures, or failure, the test sets."""

    def __init__(self) -> None:
        self.text = "# EOF\n"
        self.error: Exception | None = None
        self.at_once = self.most = 0
        self.server = scrape.MetricsServer("127.0.0.1", 0, self.read)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def read(self) -> str:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.error:
                raise self.error
            return self.text
        finally:
            self.at_once -= 1

    def get(self, path: str = "/metrics") -> tuple[int, str, str]:
        try:
            with urllib.request.urlopen(self.server.url.replace("/metrics", path), timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_collector_gets_the_text_and_its_type(served):
    assert served.get() == (200, metrics.CONTENT_TYPE, "# EOF\n")
    assert served.get("/metrics?x=1")[0] == 200
    assert served.get("/other")[0] == 404


def test_a_cluster_that_does_not_answer_is_told_as_unavailable(served):
    served.error = ConnectFailed("no router answered")
    assert served.get() == (503, "text/plain; charset=utf-8", "no router answered\n")
    served.error = None
    assert served.get()[0] == 200


def test_many_collectors_ask_the_cluster_one_after_the_other(served):
    threads = [threading.Thread(target=served.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served.most == 1
