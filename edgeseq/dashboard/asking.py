"""What a page may ask of the node: its history of alerts, and to acknowledge and label them, over MQTT."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edgeseq.core.asking import AcknowledgeRequest, AlertsRequest, Asked, LabelRequest
from edgeseq.errors import BrokerError, InputError, LoginError

VERBS: dict[str, type[Asked]] = {
    "acknowledge": AcknowledgeRequest,
    "label": LabelRequest,
    "alerts": AlertsRequest,
}
MAX_BODY_BYTES = 4096
AT_ONCE = 2
"""Requests to the node; a node answers five a second."""

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Ask the node a verb, and wait for its answer. Raises InputError, BrokerError and LoginError."""


def asking_routes(ask: Ask) -> list[Route]:
    """Make a route for each verb: JSON in, the node's answer out."""
    room = asyncio.Semaphore(AT_ONCE)
    return [Route(f"/api/{verb}", _route(verb, ask, room), methods=["POST"]) for verb in VERBS]


def _route(verb: str, ask: Ask, room: asyncio.Semaphore) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return answered({"error": "wanted application/json"}, 415)
        body = await read_body(request)
        if body is None:
            return answered({"error": f"wanted at most {MAX_BODY_BYTES} bytes"}, 413)
        try:
            asked = msgspec.to_builtins(msgspec.json.decode(body, type=VERBS[verb]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
            return answered({"error": f"the request cannot be read: {fault}"[:200]}, 400)
        asked.pop("id")
        try:
            async with room:
                return answered(await asyncio.to_thread(ask, verb, asked))
        except InputError as fault:
            return answered({"error": fault.found}, 409)
        except (BrokerError, LoginError) as fault:
            return answered({"error": f"{fault.what}: {fault.found}", "do": fault.do}, 504)

    return answer


def answered(told: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(told), status, media_type="application/json")


async def read_body(request: Request) -> bytes | None:
    """Read a body; None where it is too long, or the client has gone."""
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                return None
    except ClientDisconnect:
        return None
    return body
