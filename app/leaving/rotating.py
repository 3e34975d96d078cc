"""Sealing the files of copies anew by the key in force."""

from sqlalchemy import select

from app.kernel.crypto import Vault
from app.kernel.db import Tx
from app.leaving.queries import SEALED_AS
from app.leaving.tables import DataExportPart


async def reseal(tx: Tx, *, vault: Vault, limit: int = 20) -> int:
    """Seal up to so many pieces of files anew; answers how many there were.

    Raises Unreadable where the key of a piece is not in the ring.
    """
    rows = (
        await tx.session.scalars(
            select(DataExportPart)
            .where(DataExportPart.kid != vault.kid)
            .order_by(DataExportPart.member_id, DataExportPart.export_id, DataExportPart.part)
            .limit(limit)
            .with_for_update()
        )
    ).all()
    for row in rows:
        opened = vault.open_bytes(SEALED_AS, row.kid, row.sealed)
        row.sealed, row.kid = vault.seal_bytes(SEALED_AS, opened), vault.kid
    return len(rows)
