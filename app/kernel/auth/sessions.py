"""Sessions: a family of refresh tokens that rotate at each use and die together on a replay."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, any_, bindparam, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.batched import Ask, Batched
from app.kernel.db import Read, Tx
from app.kernel.statements import Rows, ids
from app.kernel.table import Table

LIFETIME = timedelta(days=60)
SubjectKind = Literal["member", "staff"]


class LoginSession(Table):
    """One signing-in of a member or staff account: the family of its refresh tokens."""

    __tablename__ = "login_session"
    __table_args__ = (
        Index(None, "subject_id"),
        Index(None, "revoked_at", postgresql_where=text("revoked_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    opened_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RefreshToken(Table):
    """A refresh token's digest; the token itself is never stored."""

    __tablename__ = "refresh_token"
    __table_args__ = (Index(None, "session_id"),)

    digest: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("login_session.id", ondelete="CASCADE"))
    issued_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


_LIVE = Rows(
    select(LoginSession.id).where(
        LoginSession.id == any_(ids("ids")),
        LoginSession.revoked_at.is_(None),
        LoginSession.expires_at > bindparam("now", type_=DateTime(timezone=True)),
    )
)


@dataclass(frozen=True, slots=True)
class SessionPair:
    """A session and the refresh token to hand out, shown once."""

    session_id: UUID
    subject_kind: str
    subject_id: UUID
    refresh_token: str


@dataclass(frozen=True, slots=True)
class ReplayedToken:
    """A refresh token came a second time; its session has ended."""

    session_id: UUID


async def open_session(tx: Tx, *, kind: SubjectKind, subject_id: UUID) -> SessionPair:
    """Start a session and its first refresh token."""
    session = LoginSession(
        id=tx.new_id(),
        subject_kind=kind,
        subject_id=subject_id,
        opened_at=tx.now,
        expires_at=tx.now + LIFETIME,
    )
    tx.session.add(session)
    await tx.session.flush()
    return SessionPair(session.id, kind, subject_id, await _issue(tx, session.id))


async def rotate_session(tx: Tx, *, refresh_token: str) -> SessionPair | ReplayedToken | None:
    """Exchange a refresh token for its successor.

    Answers None for a token that is unknown, expired or revoked. A token that was used before is
    stolen or replayed: its whole session ends, access tokens included (the caller must let this
    transaction commit).
    """
    row = await tx.session.get(RefreshToken, _digest(refresh_token), with_for_update=True)
    if row is None:
        return None
    session = await tx.session.get(LoginSession, row.session_id, with_for_update=True)
    if session is None or session.revoked_at or session.expires_at <= tx.now:
        return None
    if row.used_at is not None:
        session.revoked_at = tx.now
        return ReplayedToken(session.id)
    row.used_at = tx.now
    token = await _issue(tx, session.id)
    return SessionPair(session.id, session.subject_kind, session.subject_id, token)


async def revoke_session(tx: Tx, *, session_id: UUID) -> list[UUID]:
    """End one session, access tokens included; answers its id unless it had ended before."""
    ended = await tx.session.scalars(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.revoked_at.is_(None))
        .values(revoked_at=tx.now)
        .returning(LoginSession.id)
    )
    return list(ended)


async def revoke_sessions_of(tx: Tx, *, subject_id: UUID) -> list[UUID]:
    """End every session of a member or staff account; answers their ids."""
    ended = await tx.session.scalars(
        update(LoginSession)
        .where(LoginSession.subject_id == subject_id, LoginSession.revoked_at.is_(None))
        .values(revoked_at=tx.now)
        .returning(LoginSession.id)
    )
    return list(ended)


async def live_sessions(read: Read, keys: Iterable[UUID]) -> set[UUID]:
    """Those of the sessions that are neither revoked nor expired."""
    return {id for (id,) in await read.fetch(_LIVE, ids=list(keys), now=read.now)}


# Whether sessions are live, by id; absent where they are not.
live_by_id: Batched[UUID, bool] = Batched(
    lambda keys, now: Ask(_LIVE, {"ids": keys, "now": now}),
    lambda rows, _: {id: True for (id,) in rows},
)


async def revoked_since(read: Read, since: datetime) -> list[UUID]:
    """The sessions that ended by revocation after an instant."""
    rows = await read.session.scalars(
        select(LoginSession.id).where(LoginSession.revoked_at > since)
    )
    return list(rows)


async def _issue(tx: Tx, session_id: UUID) -> str:
    token = secrets.token_urlsafe(32)
    tx.session.add(RefreshToken(digest=_digest(token), session_id=session_id, issued_at=tx.now))
    await tx.session.flush()
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
