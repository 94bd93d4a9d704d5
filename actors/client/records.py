"""Records beside jobs: lifecycles and API keys; and whether the service is ready."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from urllib.parse import quote

from msgspec import Raw

from jobwire.actors.client.calls import Calls, encode, given
from jobwire.actors.client.connection import Call
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.principals import Scope
from jobwire.schemas.views import KeyView, NewKeyView


class RecordCalls(Calls):
    """Records beside jobs."""

    def lifecycles(self) -> AsyncGenerator[Lifecycle, None]:
        """Yield the built-in lifecycles and the newest versions of the caller's own."""
        return self._pages("/v1/lifecycles", Lifecycle, {})

    async def lifecycle(self, name: str, version: int | None = None) -> Lifecycle:
        """Return one lifecycle, the newest version where none is named."""
        query = {"version": str(version)} if version else None
        return await self._get(f"/v1/lifecycles/{quote(name, safe='')}", Lifecycle, query)

    async def register_lifecycle(self, lifecycle: Lifecycle | Raw) -> Lifecycle:
        """Register a table, as a record or as JSON text."""
        call = Call("POST", "/v1/lifecycles", encode(lifecycle))
        return (await self._connection.insist(call)).read(Lifecycle)

    def keys(self) -> AsyncGenerator[KeyView, None]:
        """Yield all API keys, without their secrets; for administrators."""
        return self._pages("/v1/keys", KeyView, {})

    async def create_key(
        self,
        principal: str,
        *,
        scopes: Sequence[Scope] | None = None,
        label: str | None = None,
        expires_in_s: float | None = None,
    ) -> NewKeyView:
        """Make an API key; its text is in this answer and nowhere else."""
        body = given(principal=principal, scopes=scopes, label=label, expires_in_s=expires_in_s)
        call = Call("POST", "/v1/keys", encode(body))
        return (await self._connection.call(call)).read(NewKeyView)

    async def revoke_key(self, key: str) -> KeyView:
        """Revoke an API key for good."""
        path = f"/v1/keys/{quote(key, safe='')}"
        return (await self._connection.call(Call("DELETE", path))).read(KeyView)

    async def check_ready(self) -> None:
        """
        Ask whether the service can store events now.

        Raises:
            JobwireError: it cannot, or nobody answers.

        """
        await self._connection.call(Call("GET", "/health/ready"))
