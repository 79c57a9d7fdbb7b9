"""The demo buyer, for `make up`, demonstrations and tests that need someone to be."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from services.identity import domain
from services.identity.domain import User
from services.identity.passwords import PasswordHasher
from services.identity.store import Store

DEMO_EMAIL: Final = "demo@ticketflow.test"
DEMO_PASSWORD: Final = "correct horse battery"  # noqa: S105 - public on purpose: it is in the README
DEMO_NAME: Final = "Demo Buyer"


async def seed_demo_buyer(store: Store, hasher: PasswordHasher) -> bool:
    """Opens the demo account; False, and nothing changed, if it is there already."""
    wish = domain.check_registration(email=DEMO_EMAIL, password=DEMO_PASSWORD, name=DEMO_NAME)
    if await store.select_credentials(wish.email):
        return False
    user = User(uuid4(), wish.email, wish.name)
    return await store.insert_user(user, await hasher.hash(wish.password))
