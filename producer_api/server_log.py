"""What gunicorn itself logs, without what callers sent: its texts hold request lines, and so codes and tickets."""

import sys
from typing import Any

from gunicorn.glogging import Logger

from producer_api.request_log import log_fault

_REFUSED = "Invalid request from ip="


class ServerLog(Logger):
    """gunicorn's error log; its access log stays off."""

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """A request that is no HTTP is logged with the caller's address alone."""
        text = str(msg)
        super().warning(text.partition(": ")[0] if text.startswith(_REFUSED) else text, *args, **kwargs)

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """A fault outside the application is logged by its place."""
        del msg, args, kwargs
        error = sys.exc_info()[1]
        if error is not None:
            log_fault("-", error)
