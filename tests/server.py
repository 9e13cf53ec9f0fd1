"""A small HTTP server of this computer's own, with the faults that real ones have."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Server:
    """Serves ``files`` by path, and does to each what ``faults`` says.

    Faults, by path: an int answers with that status; ``("cut", n)`` ends the connection after n
    bytes, once; ``("redirect", url)`` leads there; ``("length", n)`` states that length;
    ``("slow", seconds)`` waits between pieces; ``"no ranges"`` always sends the whole file;
    ``"no tag"`` does not say which version it sends; ``"page"`` says that it is HTML.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tag = '"one"'
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Say nothing of connections that the other end cuts."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request; a proxy is asked with the whole address."""
        self.asked.append((request.path, dict(request.headers)))
        path = request.path
        if "://" in path:
            path = "/" + path.split("/", 3)[3]
        fault = self.faults.get(path)
        if isinstance(fault, int):
            self._head(request, fault, {"Content-Length": "0"})
            return
        kind, value = fault if isinstance(fault, tuple) else (fault, None)
        if kind == "redirect":
            self._head(request, 302, {"Location": value, "Content-Length": "0"})
            return
        if path not in self.files:
            self._head(request, 404, {"Content-Length": "0"})
            return
        self._send(request, path, kind, value)

    def _send(self, request: BaseHTTPRequestHandler, path: str, kind: str, value: Any) -> None:
        data = self.files[path]
        start, status = 0, 200
        headers = {} if kind == "no tag" else {"ETag": self.tag}
        asked = request.headers.get("Range", "")
        same = request.headers.get("If-Range", self.tag) == self.tag
        if asked.startswith("bytes=") and same and kind != "no ranges":
            start = int(asked[6:].rstrip("-"))
            if start >= len(data):
                unmet = {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"}
                self._head(request, 416, unmet)
                return
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        rest = data[start:]
        length = value if kind == "length" else len(rest)
        page = "text/html; charset=utf-8" if kind == "page" else "application/octet-stream"
        self._head(
            request, status, {**headers, "Content-Length": str(length), "Content-Type": page}
        )
        if kind == "cut":
            del self.faults[path]
            rest = rest[:value]
        try:
            for at in range(0, len(rest), 1024):
                request.wfile.write(rest[at : at + 1024])
                if kind == "slow":
                    request.wfile.flush()
                    time.sleep(value)
        except OSError:  # the other end has gone
            pass
        request.close_connection = kind in ("cut", "length") or request.close_connection

    def _head(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
