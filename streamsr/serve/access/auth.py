"""Which requests are refused, and what the others may do."""

import asyncio
import time
from typing import NoReturn

from aiohttp import web
from aiohttp.typedefs import Handler

from streamsr.serve.access.access import Access
from streamsr.serve.access.admission import ADMISSION, Admission
from streamsr.serve.access.forwarded import ARRIVAL, is_loopback
from streamsr.serve.access.links import LINK, PARAMETER, expiry_of
from streamsr.serve.access.origins import READING
from streamsr.serve.access.rate_limit import FailureLimit, RateLimit, ServerLimits, client_of
from streamsr.serve.access.refusals import Reason, Refusals
from streamsr.serve.access.roles import ROLE
from streamsr.serve.access.tokens import find_token, presented_token

__all__ = ["AccessControl"]

OPEN = "/livez"  # for supervisors of the process: it tells nothing of any stream
STATIC = "/page/"  # the same for all: a page that has them can say why the rest is refused
WATCHING = "/whep/"  # where whoever may view may write
LINKS, ANYONE = "/links", "/anyone"  # who have no token; no name of one has a slash
CHALLENGES = tuple(
    ("WWW-Authenticate", challenge)
    for challenge in ('Basic realm="streamsr", charset="UTF-8"', 'Bearer realm="streamsr"')
)


class AccessControl:
    """Decides which requests are refused.

    With tokens, all but /livez needs one, whatever it asks for: as ``Authorization: Bearer``, as
    the password of Basic, for which browsers ask, or as a link's. The right one is never refused,
    whoever else fails at the same address. What slows down guessing are the size of a token and
    that wrong ones are answered late once there were many; a lock would be a lock for all who
    share the address.
    """

    def __init__(self, access: Access, limits: ServerLimits, refusals: Refusals) -> None:
        self._access = access
        self._refusals = refusals
        self._failures = FailureLimit(limits.wrong_tokens, limits.wrong_tokens_s)
        self._rates = RateLimit(limits.per_s, limits.burst)
        self._local_rates = RateLimit(limits.local_per_s, limits.local_burst)
        self._late_s = limits.late_s
        self._late_at_most = limits.late_at_most
        self._late = 0  # answers that wait

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises the answer to a request that is refused, instead of having it handled."""
        arrival = self._access.proxies.arrival(request.remote or "", request.headers)
        request[ARRIVAL] = arrival
        request[ROLE] = "control"
        path = self._access.below_base(request.path)
        client = client_of(arrival.client)
        if self._access.origins.is_preflight(request.method, request.headers):
            self._check_rate(client, ANYONE)
            return web.Response(status=204)
        if path != OPEN:
            why = self._access.refuse_plain(request.remote or "")
            if why:
                self._refuse(Reason.PLAIN, client, why)
            await self._let_in(request, path, client)
        self._check_page(request, path, client)
        return await handler(request)

    async def _let_in(self, request: web.Request, path: str, client: str) -> None:
        """Sets the request's role, and by what it has it."""
        secrets = self._access.secrets
        tokens = secrets.tokens
        header = request.headers.get("Authorization", "")
        token = find_token(tokens, presented_token(header) or "")
        link = request.query.get(PARAMETER, "")
        reads = request.method in READING
        until_s = expiry_of(tokens, path, link) if token is None and reads else None
        if token is not None:
            self._check_rate(client, token.name)
            request[ROLE], request[ADMISSION] = token.role, Admission(secrets, token)
        elif until_s is not None:
            self._check_rate(client, LINKS)
            self._check_time(client, until_s)
            request[ROLE], request[LINK] = "view", link
            request[ADMISSION] = Admission(secrets, None, link, path)
        else:
            self._check_rate(client, ANYONE)
            if secrets.asked:
                await self._refuse_token(client, guessed=bool(header or link))
            request[ADMISSION] = Admission(secrets)
        if request[ROLE] != "control" and not reads and not path.startswith(WATCHING):
            self._refuse(Reason.ROLE, client, "got a token of the role view, needed is control")

    def _check_time(self, client: str, until_s: int) -> None:
        """Raises HTTPForbidden for a link that was good until then."""
        if until_s < time.time():
            until = time.strftime("%Y-%m-%d %H:%M", time.gmtime(until_s))
            self._refuse(Reason.LINK_EXPIRED, client, f"the link held until {until} UTC")

    async def _refuse_token(self, client: str, *, guessed: bool) -> NoReturn:
        """Raises the answer to a request without a right token."""
        if not guessed:
            self._refusals.add(Reason.NO_TOKEN, client, "")
            raise web.HTTPUnauthorized(text="a token is needed", headers=CHALLENGES)
        now_s = asyncio.get_running_loop().time()
        wait_s = self._failures.wait_s(client, now_s)
        if not wait_s:
            self._failures.add(client, now_s)
            self._refusals.add(Reason.WRONG_TOKEN, client, "got a wrong token")
            raise web.HTTPUnauthorized(text="a token is needed", headers=CHALLENGES)
        text = "got too many wrong tokens; the right one is taken at any time"
        self._refusals.add(Reason.MANY_WRONG_TOKENS, client, text)
        headers = {"Retry-After": str(wait_s)}
        if self._late < self._late_at_most:
            self._late += 1
            try:
                await asyncio.sleep(self._late_s)
            finally:
                self._late -= 1
        else:
            headers["Connection"] = "close"
        raise web.HTTPTooManyRequests(text=text, headers=headers)

    def _check_rate(self, client: str, name: str) -> None:
        """Raises HTTPTooManyRequests. What others of the same address ask counts for them."""
        rates = self._local_rates if is_loopback(client) else self._rates
        wait_s = rates.wait_s(f"{client} {name}", asyncio.get_running_loop().time())
        if wait_s:
            self._refusals.add(Reason.RATE, client, "got too many requests")
            headers = {"Retry-After": str(wait_s)}
            raise web.HTTPTooManyRequests(text="too many requests", headers=headers)

    def _check_page(self, request: web.Request, path: str, client: str) -> None:
        """Raises HTTPForbidden for a name or a page that is not ours."""
        origins, headers, arrival = self._access.origins, request.headers, request[ARRIVAL]
        has_token = self._access.secrets.asked
        why = None if has_token else origins.refuse_host(headers, arrival)
        if why:
            self._refuse(Reason.HOST, client, why)
        if path.startswith(STATIC) and request.method in READING:
            return
        why = origins.refuse_site(request.method, headers, arrival, has_token=has_token)
        if why:
            self._refuse(Reason.SITE, client, why)

    def _refuse(self, reason: Reason, client: str, why: str) -> NoReturn:
        self._refusals.add(reason, client, why)
        raise web.HTTPForbidden(text=why)
