"""The files that members may fetch: a copy of their data, with their own access token."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from app import leaving
from app.kernel.auth import MemberCaller
from schema.context import Resources

# Nobody on the way may keep it, and no page may show it.
_HEADERS = {
    "content-disposition": 'attachment; filename="linli.zip"',
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


def download(resources: Resources) -> Callable[[Request], Awaitable[Response]]:
    """The handler of `GET /exports/{id}`: 401 without a member's token, 404 for what is not theirs
    or no longer there.
    """

    async def handle(request: Request) -> Response:
        caller = await resources.callers.of_header(request.headers.get("authorization"))
        if not isinstance(caller, MemberCaller):
            return _refused("NOT_SIGNED_IN", 401)
        try:
            key = UUID(request.path_params["id"])
        except ValueError:
            return _refused("NOT_FOUND", 404)
        async with resources.database.read() as read:
            export = await leaving.ready(read, member_id=caller.id, export_id=key)
        if export is None:
            return _refused("NOT_FOUND", 404)
        headers = {**_HEADERS, "content-length": str(export.bytes)}
        return StreamingResponse(
            _parts(resources, export), media_type="application/zip", headers=headers
        )

    return handle


async def _parts(resources: Resources, export: leaving.DataExport) -> AsyncGenerator[bytes]:
    # A read each: who downloads slowly holds no transaction open.
    number = 0
    while True:
        async with resources.database.read() as read:
            part = await leaving.part(read, resources.vault, export=export, number=number)
        if part is None:
            return
        yield part
        number += 1


def _refused(code: str, status: int) -> Response:
    return JSONResponse({"code": code}, status_code=status, headers={"cache-control": "no-store"})
