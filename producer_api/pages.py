"""The pages that a person sees while connecting a CRM: templates, their headers, their style sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import falcon
import jinja2

_FOLDER = Path(__file__).parent
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
STYLE_PATH = "/connect-pages/style.css"


def show(
    resp: falcon.Response,
    template: str,
    *,
    status: int = 200,
    form_targets: Sequence[str] = ("'self'",),
    **content: Any,
) -> None:
    """Answer with a page.

    Args:
        resp: To write to.
        template: File name in `templates`.
        status: HTTP status.
        form_targets: Where a form of the page may lead, redirects included (CSP `form-action`).
        content: What the template names; escaped.
    """
    resp.status = status
    resp.content_type = "text/html; charset=utf-8"
    resp.text = _TEMPLATES.get_template(template).render(style=STYLE_PATH, **content)
    resp.set_header("Content-Security-Policy", _policy(form_targets))
    no_referrer(resp)
    resp.set_header("X-Frame-Options", "DENY")
    resp.set_header("X-Robots-Tag", "noindex")


def no_referrer(resp: falcon.Response) -> None:
    """Addresses of these pages hold secrets: no other site gets to see them."""
    resp.set_header("Referrer-Policy", "no-referrer")


def _policy(form_targets: Sequence[str]) -> str:
    return (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {' '.join(form_targets)}"
    )


class StyleSheet:
    """The one style sheet; no page loads anything else."""

    def __init__(self) -> None:
        self._text = (_FOLDER / "static" / "pages.css").read_text(encoding="utf-8")

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The style sheet."""
        del req
        resp.content_type = "text/css; charset=utf-8"
        resp.set_header("Cache-Control", "public, max-age=300")
        resp.text = self._text
