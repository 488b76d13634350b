"""Ray Serve's router for sessions, imported by Ray alone, by its name; so Ray is imported at once here."""

from __future__ import annotations

import random
from typing import Any

from ray.serve.request_router import LocalityMixin, MultiplexMixin, RequestRouter

from dhauds_jax.serve.ray_routing import owner
from dhauds_jax.serve.snapshots import is_name


class SessionRouter(LocalityMixin, MultiplexMixin, RequestRouter):
    """A session's requests go to `ray_routing.owner`, the others to the less busy of two replicas.

    It is without Ray's `FIFOMixin`, which may give the replica that was chosen for one request to another request.
    """

    async def choose_replicas(self, candidate_replicas: list[Any], pending_request: Any = None) -> list[list[Any]]:
        """Replicas to be tried, in the order of their ranks; Ray asks again, later, where all are busy."""
        replicas = {replica.replica_id.unique_id: replica for replica in self.curr_replicas.values()}
        if not replicas:
            return []
        name = "" if pending_request is None else pending_request.metadata.multiplexed_model_id
        if is_name(name):
            holders = {key for key, replica in replicas.items() if name in replica.multiplexed_model_ids}
            return [[replicas[owner(name, replicas, holders)]]]
        return [random.sample(list(replicas.values()), min(2, len(replicas)))]
