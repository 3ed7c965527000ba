"""Settings: bounds, relations, names, and the digest over what must be equal in a cluster."""

import json
import re
from pathlib import Path

import ocelog
import pytest
from ocelog.client.protocol.limits import Limits
from ocelog.cluster.config import CLUSTER_WIDE, Settings, field_names, section_names
from ocelog.cluster.errors import ConfigError
from ocelog.shard.assembly import limits_of


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"raft": {"tick_ms": 0}}, "raft.tick_ms is 0, and must be at least 1"),
        ({"cluster": {"replicas": 10}}, "cluster.replicas is 10, and must be at most 9"),
        ({"cluster": {"shards": "2"}}, "cluster.shards is '2', and must be a whole number"),
        ({"cluster": {"shards": True}}, "cluster.shards is True, and must be a whole number"),
        ({"cluster": {"data": 3}}, "cluster.data is 3, and must be a text"),
        ({"cluster": {"data": ""}}, "cluster.data is empty"),
        (
            {"raft": {"election_ticks": 3}},
            "raft.election_ticks is 3, and must be at least three times raft.heartbeat_ticks (2)",
        ),
        (
            {"raft": {"inflight_bytes_max": 1024}},
            "raft.inflight_bytes_max is 1024, and must be at least raft.append_bytes_max (1048576)",
        ),
        ({"session": {"timeout_ms_default": 500}}, "session.timeout_ms_default is 500, and must be between"),
        ({"limits": {"message_bytes_max": 1048576}}, "limits.message_bytes_max is 1048576, and must be at least"),
        ({"log": {"segment_bytes_max": 65536}}, "log.segment_bytes_max is 65536, and must be at least 1052672"),
        (
            {"log": {"segment_bytes_max": 1 << 32}},
            "log.segment_bytes_max is 4294967296, and must be at most 4294967295",
        ),
        ({"compaction": {"enabled": 2}}, "compaction.enabled is 2, and must be at most 1"),
        ({"compaction": {"nice": -1}}, "compaction.nice is -1, and must be at least 0"),
        (
            {"compaction": {"minor_interval_ms": 1000, "major_interval_ms": 500}},
            "compaction.major_interval_ms is 500, and must be at least compaction.minor_interval_ms (1000)",
        ),
        ({"logging": {"level": "loud"}}, "logging.level is 'loud', and must be one of debug, info, warning, error"),
        ({"cluster": {"machines": "a:B"}}, "cluster.machines is 'a:B', and must be a list of texts, such as"),
        ({"cluster": {"machines": ["a:B", 3]}}, "cluster.machines is ['a:B', 3], and must be a list of texts"),
        ({"cluster": {"machine_path": [""]}}, "cluster.machine_path is [''], and must be a list of texts"),
        ({"logging": 3}, "[logging] is 3, and must be a section"),
        ({"raft": {"tick": 5}}, "unknown setting raft.tick: did you mean 'tick_ms'?"),
        ({"rafts": {}}, "unknown section [rafts]: did you mean 'raft'?"),
        ({"zebra": {}}, "unknown section [zebra]"),
    ],
)
def test_what_does_not_hold_is_refused_naming_field_value_and_bound(sections, said):
    with pytest.raises(ConfigError) as caught:
        Settings.from_sections(sections)
    assert said in str(caught.value)
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("tcp://0.0.0.0:7400", "needs CURVE"),
        ("tcp://*:7400", "needs CURVE"),
        ("tcp://192.168.1.5:7400", "needs CURVE"),
        ("tcp://eth0:7400", "must be an IPv4 address"),
        ("tcp://[::1]:7400", "must be an IPv4 address"),
        ("ipc://x", "must begin with /"),
        ("ipc:///" + 107 * "x", "longer than 107 bytes"),
        ("inproc://x", "must be tcp://HOST:PORT"),
        ("127.0.0.1:7400", "must be tcp://HOST:PORT"),
        ("tcp://127.0.0.1", "must be tcp://HOST:PORT"),
        ("tcp://127.0.0.1:http", "must be tcp://HOST:PORT"),
        ("tcp://127.0.0.1:65536", "at most 65535"),
        ("", "must be tcp://HOST:PORT"),
    ],
)
def test_a_router_listens_on_loopback_only(listen, said):
    with pytest.raises(ConfigError, match=r"cluster\.listen is") as caught:
        Settings.from_sections({"cluster": {"listen": listen}})
    assert said in str(caught.value)


def test_ports_of_all_routers_must_exist():
    with pytest.raises(ConfigError, match="router 1 needs port 65536, and a port is at most 65535"):
        Settings.from_sections({"cluster": {"listen": "tcp://127.0.0.1:65535", "routers": 2}})


def test_socket_files_of_all_routers_must_have_short_names():
    Settings.from_sections({"cluster": {"listen": "ipc:///" + 99 * "x", "routers": 1}})
    with pytest.raises(ConfigError, match="longer than 107 bytes"):
        Settings.from_sections({"cluster": {"listen": "ipc:///" + 105 * "x", "routers": 2}})


def test_sections_survive_json():
    settings = Settings.from_sections({"raft": {"tick_ms": 7}, "cluster": {"shards": 5}})
    assert Settings.from_sections(json.loads(json.dumps(settings.sections()))) == settings


def test_digest_differs_for_every_cluster_wide_value_and_for_no_other():
    base = Settings()
    for title in section_names():
        for name in field_names(title):
            value = base.sections()[title][name]
            other = _another(title, name, value)
            changed = Settings.from_sections({title: {name: other}})
            assert (changed.digest() != base.digest()) == (name in CLUSTER_WIDE.get(title, ())), f"{title}.{name}"


def _another(title: str, name: str, value: object) -> object:
    texts = {"listen": "tcp://127.0.0.1:7401", "data": "elsewhere", "level": "debug"}
    if name in texts:
        return texts[name]
    if value == ():
        return ["one", "two"]
    smaller = name in (
        "replicas",
        "operation_bytes_max",
        "append_bytes_max",
        "name_bytes_max",
        "timeout_ms_min",
        "enabled",
        "reserve",
    )
    return value - 1 if smaller else value + 1


def test_the_protocol_is_told_the_same_defaults():
    assert limits_of(Settings().sections()) == Limits()


def test_every_limit_of_the_protocol_can_be_set():
    """A limit that a client is told and nobody can change would be a constant of the protocol."""
    sections = Settings().sections()
    for title in ("session", "limits"):
        sections[title] = {name: value + 1 for name, value in sections[title].items()}
    limits, defaults = limits_of(sections).as_dict(), Limits().as_dict()
    assert limits == {name: value + 1 for name, value in defaults.items()}


def test_bounds_of_events_are_checked():
    assert Settings.from_sections({"session": {"events_max": 50}}).session.events_max == 50
    for name, value in (("events_max", 0), ("event_bytes_max", 1023)):
        with pytest.raises(ConfigError, match=rf"session\.{name} is {value}, and must be at least"):
            Settings.from_sections({"session": {name: value}})


def test_the_operations_guide_lists_every_setting_with_its_default():
    document = (Path(ocelog.__file__).parent / "docs" / "operations.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+\.\w+)` \| (\S+) \|", document, re.MULTILINE))
    sections = Settings().sections()
    assert listed == {f"{title}.{name}": str(sections[title][name]) for title in sections for name in sections[title]}
