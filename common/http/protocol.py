"""uvicorn's httptools protocol with limits on a request's head and body.

httptools, unlike h11, has none: it buffers a URL or header without limit. No endpoint of this project reads a request
body, and without a limit uvicorn would receive and discard bodies of any length.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024


class BoundedHttpToolsProtocol(HttpToolsProtocol):
    """Answers 400 to a head over MAX_HEAD_BYTES; closes the connection then, and for a body over MAX_BODY_BYTES."""

    _head_bytes = 0
    _body_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the head."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        self._body_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count the bytes of a body, with or without Content-Length."""
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self.transport.close()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes belong to the next request's head."""
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0
