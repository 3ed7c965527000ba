"""Slots and the file that keeps them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocelog.cluster import clusterfile
from ocelog.cluster.config import Settings
from ocelog.cluster.errors import ConfigError, DataError
from ocelog.cluster.shardmap import SLOTS, SlotTable, equal_ranges, slot_of


def test_a_slot_is_the_low_14_bits_of_crc32():
    assert slot_of(b"123456789") == 0xCBF43926 & 0x3FFF  # CRC-32's check value


@given(st.integers(1, SLOTS))
def test_ranges_cover_every_slot_once_and_differ_by_at_most_one(shards):
    ranges = equal_ranges(shards)
    SlotTable(ranges)
    sizes = [last - first + 1 for first, last, _ in ranges]
    assert len(sizes) == shards
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("shards", [0, -1, SLOTS + 1])
def test_a_number_of_shards_without_sense_is_refused(shards):
    with pytest.raises(ValueError, match=str(shards)):
        equal_ranges(shards)


TWO_SHARDS = tuple(equal_ranges(2))


def sized(shards: int, replicas: int = 3) -> Settings:
    return Settings.from_sections({"cluster": {"shards": shards, "replicas": replicas}})


def test_a_second_start_finds_the_same_cluster(tmp_path):
    first = clusterfile.load_or_create(tmp_path, sized(3))
    assert clusterfile.load_or_create(tmp_path, sized(3)) == first
    assert [path.name for path in tmp_path.iterdir()] == ["cluster"]


def test_two_clusters_have_two_identities():
    assert clusterfile.ClusterFile.new(shards=1, replicas=1) != clusterfile.ClusterFile.new(shards=1, replicas=1)


@pytest.mark.parametrize(("shards", "replicas", "said"), [(2, 3, "shards"), (3, 5, "replicas")])
def test_another_size_on_old_data_is_refused(tmp_path, shards, replicas, said):
    clusterfile.load_or_create(tmp_path, sized(3))
    with pytest.raises(ConfigError, match=f"was made with 3 {said}") as caught:
        clusterfile.load_or_create(tmp_path, sized(shards, replicas))
    assert caught.value.exit_code == 78


def test_replicas_without_the_file_are_refused(tmp_path):
    (tmp_path / "shard-0").mkdir()
    with pytest.raises(DataError, match="is missing"):
        clusterfile.load_or_create(tmp_path, sized(3))


@given(st.data())
def test_any_changed_byte_is_found(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cluster") / "cluster"
    clusterfile._write(path, clusterfile.ClusterFile(cluster_id="0f" * 16, shards=2, replicas=3, slots=TWO_SHARDS))
    content = bytearray(path.read_bytes())
    position = data.draw(st.sampled_from([at for at, byte in enumerate(content) if byte not in b" \n"]))
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        clusterfile.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"format": 2}', b'{"format": 1, "checksum": 0}', b"\xff" * 50],
)
def test_what_is_no_cluster_file_is_refused(tmp_path, content):
    (tmp_path / "cluster").write_bytes(content)
    with pytest.raises(DataError) as caught:
        clusterfile.load_or_create(tmp_path, sized(2))
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    "fields",
    [
        {"slots": []},
        {"slots": [[0, SLOTS - 1, 5]]},
        {"slots": [[0, 5]]},
        {"slots": 7},
        {"cluster_id": "xyz"},
        {"shards": "many"},
        {"shards": 3},
    ],
)
def test_a_right_checksum_over_wrong_fields_is_refused(tmp_path, fields):
    clusterfile.load_or_create(tmp_path, sized(2))
    path = tmp_path / "cluster"
    content = {**json.loads(path.read_bytes()), **fields}
    del content["checksum"]
    path.write_text(json.dumps({**content, "checksum": clusterfile._checksum(content)}))
    with pytest.raises(DataError, match="is damaged"):
        clusterfile.read(path)
