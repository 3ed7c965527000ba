"""Where a replica listens to its peers and reaches them."""

from __future__ import annotations

from ocelog.shard.assembly import between_peers, link_address, peer_address

OPTIONS = {"sockets": "/sockets", "shard": 2, "replica": 1, "replicas": 3}


def test_peers_of_one_host_meet_at_socket_files():
    own, others = between_peers(OPTIONS)
    assert own == peer_address("/sockets", 2, 1) == "ipc:///sockets/s2r1.p"
    assert others == {0: peer_address("/sockets", 2, 0), 2: peer_address("/sockets", 2, 2)}


def test_links_stand_before_the_others_only():
    own, others = between_peers({**OPTIONS, "links": "/links"})
    assert own == peer_address("/sockets", 2, 1)
    assert others == {number: link_address("/links", 2, 1, number) for number in (0, 2)}


def test_peers_of_several_hosts_have_addresses():
    addresses = [f"tcp://10.0.0.{number}:7102" for number in (1, 2, 3)]
    assert between_peers({**OPTIONS, "peers": addresses}) == (addresses[1], {0: addresses[0], 2: addresses[2]})
