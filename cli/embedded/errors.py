"""What can go wrong when a server is started on this machine."""


class EmbeddedServerError(RuntimeError):
    """Root of this package's errors; the text names the server, the cause and what to do."""


class ServerMissingError(EmbeddedServerError):
    """The wheel that carries the server is not installed, or has no binary for this platform."""


class ServerInUseError(EmbeddedServerError):
    """Another living process of ours keeps the server's folder."""


class ServerStartError(EmbeddedServerError):
    """The server ended, or was not ready within its time; the text holds the end of its log."""
