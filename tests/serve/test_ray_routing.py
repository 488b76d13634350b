"""Where a session's requests go: to the replica that its name tells, else to who took it over, else by a hash."""

from collections import Counter

from dhauds_jax.serve.ray_routing import TAG_DIGITS, owner, tag
from dhauds_jax.serve.snapshots import is_name

REPLICAS = ("abc1", "abc2", "abc3")


def name_of(replica, number=0):
    return tag(replica) + f"{number:024x}"


def test_a_name_tells_the_replica_that_opened_it():
    assert tag("abc1") == "dbfcfd0d" and TAG_DIGITS == 8
    for replica in REPLICAS:
        assert is_name(name_of(replica)) and owner(name_of(replica), REPLICAS) == replica
        assert owner(name_of(replica), REPLICAS, holders={"abc1", "abc2"}) == replica  # it is back: it never left


def test_a_lost_replicas_sessions_go_to_who_has_them_by_now_else_where_a_hash_says():
    names = [name_of("lost", number) for number in range(300)]
    assert all(owner(name, REPLICAS, holders={"abc2"}) == "abc2" for name in names)
    assert owner(names[0], REPLICAS, holders={"gone"}) == owner(names[0], REPLICAS)
    chosen = {name: owner(name, REPLICAS) for name in names}
    assert chosen == {name: owner(name, REPLICAS[::-1]) for name in names}
    assert min(Counter(chosen.values()).values()) > 70  # of 300 over three
    fewer = {name: owner(name, REPLICAS[:2]) for name in names}
    assert all(fewer[name] == chosen[name] for name in names if chosen[name] != "abc3")  # only the lost one's move
