"""`/healthz` (the process is alive) and `/readyz` (nothing stands in its way), for worker and relay."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Problems = Callable[[], list[str]]


class HealthServer:
    """Serves the two pages on a thread of its own; does nothing on port 0."""

    def __init__(self, host: str, port: int, problems: Problems) -> None:
        self._server = ThreadingHTTPServer((host, port), _handler(problems)) if port else None

    def start(self) -> None:
        """Begin to serve."""
        if self._server:
            threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """End."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()


def _handler(problems: Problems) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._answer(200, {"status": "alive"})
            elif self.path == "/readyz":
                found = problems()
                self._answer(503 if found else 200, {"status": "not ready" if found else "ready", "problems": found})
            else:
                self._answer(404, {"status": "there are /healthz and /readyz"})

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
            """Log nothing: probes come every second."""

        def _answer(self, status: int, content: dict[str, object]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
