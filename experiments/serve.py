"""Serves classifiers over HTTP: recordings in, labels out, in batches; and adapts to each client, if asked to.

Example: python -m experiments.serve --checkpoint=words15 --port=8080
Then: curl --data-binary @dog.wav http://127.0.0.1:8080/v1/classify (wav, flac or ogg), python -m experiments.ask, or a
browser. GET /ping says whether it is ready, GET /metrics what it has done; docs/serving.md has all routes. It listens
at this machine alone unless --host says otherwise. Ctrl-C or SIGTERM: what was accepted is answered, then it ends.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.serve.request import ServeRun

flags.flags_of(ServeRun)


def main() -> str:
    run = flags.from_flags(ServeRun)
    if run.engine == "local":  # else the replicas compute, and the processors are left to them
        flags.start()
    from dhauds_jax.runs.serve import serve

    return serve(run)


if __name__ == "__main__":
    app.run(main)
