"""Which replica a session's requests go to, where Ray Serve has several: always the one that holds its state.

A session's name begins with digits of the replica that opened it, so whoever routes knows it at once, without having
been told. Where that replica is gone, the one that has the session by now is asked (Ray's multiplexed model ids say
which), else the one that a hash of both names chooses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

TAG_DIGITS = 8
"""Hexadecimal digits of a session's name that are its replica's; 96 random bits are left."""


def tag(replica: str) -> str:
    """What the names of the sessions begin with that a replica opens."""
    return hashlib.sha256(replica.encode()).hexdigest()[:TAG_DIGITS]


def owner(name: str, replicas: Collection[str], holders: Collection[str] = ()) -> str:
    """The replica that a session's requests go to.

    Args:
      name: of the session.
      replicas: all that there are, at least one.
      holders: those that are known to have taken it over.
    """
    opened = [replica for replica in replicas if tag(replica) == name[:TAG_DIGITS]]
    heirs = [replica for replica in replicas if replica in holders]
    return max(opened or heirs or replicas, key=lambda replica: hashlib.sha256(f"{name} {replica}".encode()).digest())
