"""An API that needs a key, as those of language models do: tells what it got, in pieces and in a header.

Arguments: the log's path, the certificate chain with its key.
"""

from __future__ import annotations

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOG = Path(sys.argv[1])


class Api(BaseHTTPRequestHandler):
    """Answers with the key that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Repeats the credentials: byte by byte, in a header, and where the path asks for it."""
        key = self.headers.get("authorization") or self.headers.get("x-api-key") or ""
        with LOG.open("a", encoding="utf-8") as log:
            entry = {"service": "api", "path": self.path, "key": key, "host": self.headers["host"]}
            log.write(json.dumps({**entry, "encoding": self.headers.get("accept-encoding", "")}) + "\n")
        self.send_response(200, key if self.path == "/phrase" else None)
        self.send_header("X-Key", f"\xe9 {key}" if self.path == "/bytes" else key)
        if self.path == "/name":
            self.send_header(f"X-{key}", "yes")
        self.send_header("Transfer-Encoding", "chunked")
        if self.path == "/gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        for character in f"key {key}.":
            self.wfile.write(f"1\r\n{character}\r\n".encode())
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


server = ThreadingHTTPServer(("0.0.0.0", 9443), Api)  # noqa: S104 - a namespace of its own
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
