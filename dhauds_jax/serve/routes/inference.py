"""`/v2`: the Open Inference Protocol, so that clients of KServe and Triton work; batched like all the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from dhauds_jax.data.audio import Decoded
from dhauds_jax.serve import bodies, inference_protocol
from dhauds_jax.serve.failures import Failure
from dhauds_jax.serve.naming import Named
from dhauds_jax.serve.replies import failure_of, reply
from dhauds_jax.serve.routes import sessions
from dhauds_jax.serve.service import Service


def name_of(service: Service) -> str:
    """The name under which the model is asked."""
    return str(service.model.get("net", "model"))


async def live(service: Service, request: Any) -> Any:
    """200 while the process runs."""
    return reply({"live": True})


async def ready(service: Service, request: Any) -> Any:
    """200 while requests are taken, 503 else; of a model, if the path names one."""
    service.check_open()
    if "model" in request.path_params:
        _check_name(service, request)
    return reply({"ready": True})


async def server(service: Service, request: Any) -> Any:
    """What the server is; beside what the protocol names, the models that it has."""
    from dhauds_jax import __version__

    return reply(
        {
            "name": "dhauds_jax",
            "version": __version__,
            "extensions": ["binary_tensor_data"],
            "models": [name_of(service)],
        }
    )


async def model(service: Service, request: Any) -> Any:
    """The model's tensors."""
    _check_name(service, request)
    return reply(inference_protocol.metadata(name_of(service), len(service.served.classes)))


async def infer(service: Service, request: Any) -> Any:
    """Probabilities and labels of one or several recordings; one that fails fails the request, and is named."""
    from starlette.responses import Response

    _check_name(service, request)
    with service.memory.hold() as hold:
        said, json_bytes = await _inferred(service, request, hold)
    if json_bytes is None:
        return Response(said, media_type="application/json")
    headers = {inference_protocol.HEADER: str(json_bytes)}
    return Response(said, headers=headers, media_type="application/octet-stream")


async def _inferred(service: Service, request: Any, hold: Callable[[int], Any]) -> tuple[bytes, int | None]:
    body = await bodies.read(request, service.limits.body_bytes, service.limits.body_timeout_s, hold)
    header, wanted = request.headers.get(inference_protocol.HEADER), service.wanted
    words = (body, header, wanted.sample_rate, wanted.longest)
    loop = asyncio.get_running_loop()
    asked = await loop.run_in_executor(service.threads, inference_protocol.read, *words)
    hold(sum(one.wave.nbytes for one in asked.recordings if isinstance(one, Decoded)))
    session = sessions.checked(service, asked.session) if asked.session else ""
    found = await bodies.unless_gone(request, _all(service, asked, session, hold))
    service.answered += 1
    labels, probabilities = [one.label for one in found], np.stack([one.probabilities for one in found])
    return inference_protocol.written(asked, name_of(service), labels, probabilities)


async def _all(
    service: Service, asked: inference_protocol.Asked, session: str, hold: Callable[[int], Any]
) -> list[Named]:
    # A session learns from them in their order; of others no more wait at once than leave room for somebody else.
    room = asyncio.Semaphore(1 if session else max(1, service.batcher.limit // 2))

    async def one(index: int, recording: Any) -> Named:
        try:
            async with room:
                return (await service.answered_for(recording, session, hold)).said
        except Exception as error:
            if len(asked.recordings) == 1:
                raise
            failure = failure_of(error)
            message = f"recording {index + 1} of {len(asked.recordings)}: {failure.message}"
            raise Failure(failure.code, message, failure.expected, failure.headers) from error

    tasks = [asyncio.ensure_future(one(*pair)) for pair in enumerate(asked.recordings)]
    deadline_s = service.limits.deadline_s
    try:
        async with asyncio.timeout(deadline_s):
            return await asyncio.gather(*tasks)
    except TimeoutError:
        raise Failure("deadline", f"no answer within {deadline_s:g} s", "less load, or fewer recordings") from None
    finally:
        for task in tasks:
            task.cancel()


def _check_name(service: Service, request: Any) -> None:
    name = request.path_params["model"]
    if name != name_of(service) or request.path_params.get("version", "1") != "1":
        raise Failure("not_found", "there is no such model or version", f"{name_of(service)}, version 1")
