"""Free TCP ports on the loopback interface."""

import secrets
import socket

LOOPBACK = "127.0.0.1"
# Below the range from which kernels take the local ports of outgoing connections (Linux 32768, macOS and RFC 6335
# 49152): no passing connection can sit on a server's port while the server is down between a kill and its restart.
FIRST_PORT, LAST_PORT = 15000, 32000
ATTEMPTS = 200


def free_port() -> int:
    """Return a TCP port on which nobody listens on 127.0.0.1 at this moment.

    Raises:
        OSError: None was found.
    """
    for _ in range(ATTEMPTS):
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if is_free(port):
            return port
    raise OSError(f"no free TCP port between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port of 127.0.0.1; sockets that linger after a close do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
