"""A request as its handler sees it: headers looked up by name, and a body of bounded size.

Starlette's own request looks through the list of all headers for each one, and hands a body out in pieces.
"""

from starlette.types import Receive, Scope

from serving.body import JSON, RefusedError

_JSON = JSON.encode()


class Incoming:
    """A request that is being answered; of a header that comes twice, the first one counts."""

    __slots__ = ("_receive", "headers", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self._receive = receive

    async def json_body(self, max_bytes: int) -> bytes:
        """Read a JSON body of at most `max_bytes`, whether or not its length was announced.

        Raises:
            RefusedError: 413 for a longer one, 415 for another content type or encoding, 400 when the client went away.
        """
        headers = self.headers
        # A page of another site can make a browser send bytes without a type, but not JSON that says so.
        undeclared = b"" if b"origin" in headers else _JSON
        content_type = headers.get(b"content-type", undeclared)
        if content_type != _JSON and content_type.partition(b";")[0].strip().lower() != _JSON:
            raise RefusedError(415, f"the content type must be {JSON}", "content-type")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RefusedError(415, "the body must not be encoded", "content-encoding")
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > max_bytes:
            raise _too_long(max_bytes)
        chunks, size, is_whole = [], 0, False
        while not is_whole:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise RefusedError(400, "the client went away before its body ended")
            chunk, is_whole = message.get("body", b""), not message.get("more_body", False)
            size += len(chunk)
            if size > max_bytes:
                raise _too_long(max_bytes)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_long(max_bytes: int) -> RefusedError:
    return RefusedError(413, f"the body must be at most {max_bytes} bytes", "content-length")
