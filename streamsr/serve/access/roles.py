"""What a client that has been let in may do."""

from typing import Final, Literal

from aiohttp import web

__all__ = ["ROLE", "Role", "require_control"]

Role = Literal["view", "control"]  # whoever may control may view

ROLE: Final = web.RequestKey("role", str)  # a Role: it is set before a request's handler runs


def require_control(request: web.Request) -> None:
    """Raises HTTPForbidden for a client that may only view. Each handler that changes asks it."""
    if request[ROLE] != "control":
        raise web.HTTPForbidden(
            text="this token may view: changing something takes one of the role control"
        )
