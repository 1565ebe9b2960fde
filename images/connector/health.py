"""The health server of a connector instance: HTTP on tcp:667 (behaviour 2.2.2)."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

PORT = 667


class Health(BaseHTTPRequestHandler):
    """Answers `ok` to GET and HEAD of `/`."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    """Seconds for a request: a client that does not finish one loses its connection, and its thread ends."""

    def do_GET(self) -> None:
        """Answer a health check."""
        self._answer(b"ok")

    def do_HEAD(self) -> None:
        """Answer a health check that wants no body."""
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        if self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(b"ok")))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave out the requests: there is one every few seconds from each prober."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    server_name = "connector"
    server_port = PORT
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without asking a DNS server for this host's name, as `HTTPServer` does: there may be none to answer."""
        TCPServer.server_bind(self)


if __name__ == "__main__":
    Server(("", PORT), Health).serve_forever()
