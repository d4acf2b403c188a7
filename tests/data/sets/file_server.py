"""A web server on this machine that knows ranges, and can break off or lie as the real ones do."""

import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Serves ``files`` by name.  ``requests`` holds (name, Range header) of every request, in
    order."""

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    ranges: bool = True
    stop_after: int | None = None
    """Break each answer off after so many bytes."""
    port: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def start(self) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.port = server.server_address[1]
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return server


def handler_of(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            wanted = self.headers.get("Range")
            server.requests.append((name, wanted))
            if name not in server.files:
                return self.send_error(404)
            content = server.files[name]
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
            if wanted and server.ranges and first >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206 if wanted and server.ranges else 200)
            if wanted and server.ranges:
                self.send_header(
                    "Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(content) - first))
            if name.endswith(".gz"):  # as some servers do: the file must arrive packed all the same
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(content[first:][: server.stop_after])
            return None

        def log_message(self, *_: object) -> None: ...

    return Handler
