"""The web page: one document without any outside asset, under a policy that runs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response


async def page_response(_: Request) -> Response:
    """The page, which fetches the API by itself."""
    page, policy = _page()
    return HTMLResponse(page, headers={"content-security-policy": policy})


@cache
def _page() -> tuple[str, str]:
    page = files("controller.report").joinpath("page.html").read_text("utf-8")
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        f" script-src {_hash_of('script', page)}; style-src {_hash_of('style', page)}"
    )
    return page, policy


def _hash_of(tag: str, page: str) -> str:
    """The source expression that admits the one inline element of that tag: CSP level 2, section 4.2.5."""
    content = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
