"""One sentence for the next page, in a cookie that the page deletes."""

import base64
import binascii
from typing import Final, TypeVar

from fastapi import Request
from fastapi.responses import Response

COOKIE: Final = "modelyard_flash"
KEEP_S: Final = 60
MAX_CHARS: Final = 500

ResponseT = TypeVar("ResponseT", bound=Response)


def with_flash(response: ResponseT, sentence: str) -> ResponseT:
    """Show a sentence at the top of the next page."""
    text = base64.urlsafe_b64encode(sentence[:MAX_CHARS].encode()).decode()
    response.set_cookie(COOKIE, text, max_age=KEEP_S, httponly=True, samesite="lax")
    return response


def flash_of(request: Request) -> str:
    """The sentence for this page; empty without one. A live update leaves it for the next whole page."""
    if "hx-request" in request.headers:
        return ""
    try:
        return base64.urlsafe_b64decode(request.cookies.get(COOKIE, "").encode()).decode()
    except (binascii.Error, UnicodeError):
        return ""
