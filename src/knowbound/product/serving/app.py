"""The routes of the service.  The only importer of FastAPI."""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from knowbound._version import __version__
from knowbound.errors import UserError
from knowbound.product.serving.access import STATE, drain, error_body
from knowbound.product.serving.page import PAGE, PAGE_POLICY, reference_page
from knowbound.product.serving.refusal import Refusal
from knowbound.product.serving.schema import (
    ANSWER,
    BODY,
    MODEL_PARAMETER,
    MODELS,
    NAME_PARAMETER,
    STATUSES,
)
from knowbound.product.serving.service import Service
from knowbound.product.serving.uploads import check_type, uploads_in
from knowbound.workflows.predict import Prediction

if TYPE_CHECKING:
    from fastapi import FastAPI, Request


def make_app(service: Service, *, reload_seconds: float = 0.0) -> "FastAPI":
    """The ASGI application of a service.

    Args:
        service: that answers.
        reload_seconds: between two looks for a new model on disk; 0 for none.

    Raises:
        UserError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI, Request
        from fastapi.responses import HTMLResponse, Response
    except ImportError as error:
        raise UserError(
            "serving needs fastapi, which is not installed; pip install 'knowbound[serve]'"
        ) from error

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = (
            asyncio.ensure_future(service.reload_every(reload_seconds)) if reload_seconds else None
        )
        try:
            yield
        finally:
            if watching:
                watching.cancel()
            await service.stop()

    app = FastAPI(
        title="knowbound",
        version=__version__,
        description="Known, novelty or anomaly for every picture.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )

    def answer(content: Any, status: int = 200) -> Response:
        body = json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
        headers = {"Cache-Control": "no-store"}
        return Response(body, status, headers, media_type="application/json")

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        body = error_body(refusal.sentence)
        return Response(body, refusal.status, refusal.headers(), media_type="application/json")

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return answer({"error": "this request failed; the log says why"}, 500)

    @app.exception_handler(404)
    async def not_found(_: Request, error: Exception) -> Response:
        return answer({"error": "there is nothing at this path; / shows what there is"}, 404)

    @app.exception_handler(405)
    async def wrong_method(_: Request, error: Exception) -> Response:
        return answer({"error": "this path takes another method; /docs shows which"}, 405)

    @app.post(
        "/v1/predict",
        summary="The verdict on one picture, or on several",
        responses={200: ANSWER, **STATUSES},
        openapi_extra={"requestBody": BODY, "parameters": [MODEL_PARAMETER, NAME_PARAMETER]},
    )
    async def predict(request: Request) -> Response:
        seen = request.scope[STATE]
        served = service.models.named(request.query_params.get("model"))
        seen.model = served.name
        kind = request.headers.get("content-type", "")
        with served.used():
            try:
                check_type(kind, request.headers.get("content-encoding", ""))
                body = await _body(request, service)
            except Refusal as refusal:
                if refusal.status in (413, 415, 503):
                    await drain(request.receive)
                raise
            seen.bytes = len(body)
            rows = await _rows(service, served, request, body, kind)
        seen.pictures = len(rows)
        if all(row.error for row in rows):
            raise Refusal(422, _unreadable(rows))
        said = [_finite(row) for row in rows]
        return answer({"model": served.name, "version": served.version, "verdicts": said})

    @app.get("/v1/models", summary="The models, and what may be sent", responses={200: MODELS})
    async def models() -> Response:
        found = [
            {
                "name": served.name,
                "version": served.version,
                "classes": list(served.model.class_names),
            }
            for served in service.models
        ]
        return answer({"models": found, "limits": asdict(service.limits)})

    @app.get("/healthz", summary="200 while the process answers at all")
    async def healthz() -> Response:
        return answer({"status": "alive"})

    @app.get("/readyz", summary="200 while a picture would be judged, else 503")
    async def readyz() -> Response:
        if not service.is_ready:
            raise Refusal(503, "the service is stopping, or a model has failed; ask another one")
        return answer({"status": "ready"})

    @app.get("/metrics", summary="Counts and times, as Prometheus reads them")
    async def metrics() -> Response:
        text, kind = service.metrics.text()
        return Response(text, headers={"Content-Type": kind})

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": PAGE_POLICY})

    @app.get("/docs", include_in_schema=False)
    async def reference() -> Response:
        policy = {"Content-Security-Policy": PAGE_POLICY}
        return HTMLResponse(reference_page(app.openapi()), headers=policy)

    return app


async def _rows(
    service: Service, served: Any, request: "Request", body: bytes, kind: str
) -> list[Prediction]:
    """The rows for a body whose bytes are held; they are given back in any case."""
    try:
        uploads = uploads_in(
            body,
            kind,
            name=request.query_params.get("name", ""),
            most=service.limits.pictures,
        )
    except BaseException:
        service.bodies.give(len(body))
        raise
    return await service.answer(served, uploads, held=len(body))


async def _body(request: "Request", service: Service) -> bytes:
    """The whole body; its bytes are taken from the room of all bodies.

    Raises:
        Refusal: 400 for a length that is no number, 408 for one that does not arrive in time, 413
            for one that is too long, 503 where too much is held.
    """
    most, seconds = service.limits.request_bytes, service.limits.seconds
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > most:
        raise _too_long(most)
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                if len(content) + len(chunk) > most:
                    raise _too_long(most)
                service.bodies.take(len(chunk))
                content += chunk
    except BaseException as error:
        service.bodies.give(len(content))
        if isinstance(error, TimeoutError):
            raise Refusal(
                408,
                f"the body did not arrive within {seconds:g} seconds; send it again",
                close=True,
            ) from error
        if isinstance(error, Refusal):
            error.close = True
            raise
        if type(error).__name__ == "ClientDisconnect":
            raise Refusal(400, "the connection ended before the body", close=True) from error
        raise
    return bytes(content)


def _too_long(most: int) -> Refusal:
    return Refusal(
        413, f"the body has more than {most} bytes; send fewer or smaller pictures", close=True
    )


def _finite(row: Prediction) -> dict[str, str | float | None]:
    """The columns of a row; JSON has no infinite numbers, so a threshold without bound is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.row().items()
    }


def _unreadable(rows: Sequence[Prediction]) -> str:
    if len(rows) == 1:
        return f"the picture cannot be read: {rows[0].error}"
    return f"none of the {len(rows)} pictures can be read; the first: {rows[0].error}"
