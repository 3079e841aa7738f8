"""Endpoints for the ``status_url`` of calls: one per tenant and host, made when a call first names it."""

import asyncio
from collections import OrderedDict
from typing import Annotated

from pydantic import Field, StringConstraints

from controller.api.house import House
from controller.api.problems import Problem
from controller.core.status import origin_of, status_endpoint
from controller.ports import NotSaved
from controller.services.webhooks_guard import Forbidden, target_of
from controller.services.webhooks_sign import new_secret
from controller.store.errors import TooMany
from controller.store.rows import Endpoint

REMEMBER_MOST = 10_000

Url = Annotated[str, StringConstraints(min_length=8, max_length=2048, pattern=r"^https?://[\x21-\x7e]+$")]
StatusUrl = Annotated[
    Url,
    Field(description="This call's events are sent there, signed with the tenant's secret (`/v1/webhooks/status/secret`)."),
]


class StatusHosts:
    """Which of these endpoints are there.  None ever goes, so what is known stays so."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._known: OrderedDict[str, None] = OrderedDict()
        self._making = asyncio.Lock()

    async def ensure(self, tenant: str, url: str, param: str = "status_url") -> None:
        """Before a call with this URL is opened.  Raises Problem for one that must not be called, NotSaved."""
        try:
            target_of(url)
            endpoint = status_endpoint(tenant, url)
            if endpoint not in self._known:
                async with self._making:
                    await self._make(tenant, endpoint, url)
        except Forbidden as error:
            raise Problem("invalid_request", str(error), param) from None
        except TooMany as error:
            raise Problem("invalid_request", f"{error}: use one of those, with another path or query", param) from None

    async def _make(self, tenant: str, endpoint: str, url: str) -> None:
        if endpoint in self._known:
            return
        await self._house.webhooks.check_url(url)
        now, store = self._house.clock.now(), self._house.database.endpoints
        made = Endpoint(endpoint, tenant, origin_of(url), "", ("*",), now, kind="status")
        try:
            await store.ensure_status(made, new_secret())
        except TooMany:
            raise
        except NotSaved:
            if await store.get(tenant, endpoint) is None:  # else another controller made it at the same moment
                raise
        await self._house.webhooks.reload()
        self._known[endpoint] = None
        if len(self._known) > REMEMBER_MOST:
            self._known.popitem(last=False)
