"""A soak: `python -m tests.serve.soak --requests=20000` asks a real service, every twentieth request malformed.

It prints the service's memory in RAM after each thousand, the growth per 10,000 after the first 2,000, and what was
lost; a good request of eight at once, a malformed one beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import itertools
import threading

from dhauds_jax.serve import http_client, load
from dhauds_jax.serve.started import started
from tests.serve import malformed
from tests.serve.serving import recording, tone

EACH, SETTLED = 1_000, 2_000
"""Requests from one look to the next, and those that memory may grow in."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default="words15")
    asked = parser.parse_args()
    wrong = iter(malformed.requests(asked.requests // 20, asked.seed))
    statuses: collections.Counter[int] = collections.Counter()
    memory = []
    with started([f"--checkpoint={asked.checkpoint}", "--body_timeout_s=1"]) as service:
        place = http_client.place_of(service.url, "/v1/classify")
        good = [http_client.request(place, recording(tone(16_000, seed), 16_000)) for seed in range(8)]
        for done in range(EACH, asked.requests + 1, EACH):

            def refused() -> None:
                for one in itertools.islice(wrong, EACH // 20):
                    statuses[malformed.send(place.port, one.sent)[0]] += 1

            beside = threading.Thread(target=refused)
            beside.start()
            outcome = asyncio.run(load.send(place, good, load.Plan(EACH - EACH // 20, 8)))
            beside.join()
            statuses.update(outcome.status.tolist())
            memory.append((done, malformed.resident(service.process.pid)))
            print(f"{done} requests: {memory[-1][1]} kB", flush=True)
    first = next((kilobytes for done, kilobytes in memory if done >= SETTLED), memory[0][1])
    grown = (memory[-1][1] - first) / max(1, asked.requests - SETTLED) * 10_000
    print(f"after the first {SETTLED}: {grown:+.0f} kB for 10,000; answers by status {dict(sorted(statuses.items()))}")


if __name__ == "__main__":
    main()
