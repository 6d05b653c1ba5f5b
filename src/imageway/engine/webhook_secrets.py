"""What signs the messages of an endpoint, or those to addresses that come with a workspace's requests: made of chance,
kept sealed, opened to sign."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.core.ids import new_id
from imageway.core.ops import Store
from imageway.core.ports import Random
from imageway.ledger.sealed import WEBHOOK, PutSecret, SealingError, Vault
from imageway.tasks.signatures import hint_of, new_secret
from imageway.tasks.webhooks import AddSecret, ListSecrets, Secret


@dataclass(frozen=True, slots=True)
class NewSecret:
    """`plain` is for its owner; `put` goes into the commit that makes the row of this `id`."""

    id: str
    plain: str
    put: PutSecret

    @property
    def hint(self) -> str:
        return hint_of(self.plain)

    def __repr__(self) -> str:
        return f"NewSecret(id={self.id!r})"


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    store: Store
    vault: Vault
    random: Random

    def make(self, at_ms: int) -> NewSecret:
        """Raises SealingError."""
        secret_id, plain = new_id("whs", self.random), new_secret(self.random)
        return NewSecret(secret_id, plain, self.vault.seal(WEBHOOK, secret_id, plain=plain, at_ms=at_ms))

    async def signing(self, holder_id: str, now_ms: int) -> list[tuple[Secret, str]]:
        """Those that sign now, the current one first; made when there is none. Raises SealingError when that one does
        not open; an older one that does not is what a rotation mends."""
        known = await self.store.read(ListSecrets(holder_id)) or await self._first(holder_id, now_ms)
        found = []
        for secret in known:
            if secret.until_ms is None or secret.until_ms > now_ms:
                try:
                    found.append((secret, await self._open(secret)))
                except SealingError:
                    if secret.until_ms is None:
                        raise
        return found

    async def _first(self, holder_id: str, now_ms: int) -> tuple[Secret, ...]:
        made = self.make(now_ms)
        # Refused: somebody was faster.
        await self.store.commit(AddSecret(made.id, holder_id, made.hint, now_ms), made.put)
        return await self.store.read(ListSecrets(holder_id))

    async def _open(self, secret: Secret) -> str:
        """Raises SealingError, also for one that its owner would not know."""
        plain = await self.vault.open(WEBHOOK, secret.id)
        if hint_of(plain) != secret.hint:
            raise SealingError(f'the secret "{secret.id}" was made of another key than the one here: rotate it')
        return plain
