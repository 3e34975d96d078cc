"""Members, the identities they sign in by, their communities and leaders."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Json, Table


class MemberStatus(StrEnum):
    """Whether a member takes part."""

    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"


class IdentityKind(StrEnum):
    """By what a person is recognised."""

    WECHAT_OPENID = "WECHAT_OPENID"
    WECHAT_UNIONID = "WECHAT_UNIONID"
    PHONE = "PHONE"
    STORE_CARD = "STORE_CARD"


class Community(Table):
    """A neighbourhood (小区) served by a leader; its settings are editable by staff."""

    __tablename__ = "community"
    __table_args__ = (Index(None, "name", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    time_zone: Mapped[str]
    settings: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime]


class Member(Table):
    """A person, however many apps and cards they come by."""

    __tablename__ = "member"
    __table_args__ = (
        Index(None, "community_id", "id"),
        Index(None, "registered_at"),
        Index(None, "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
        CheckConstraint("merged_into IS NULL OR status = 'CLOSED'", name="merged_is_closed"),
        CheckConstraint("merged_into <> id", name="merged_into_another"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    community_id: Mapped[UUID] = mapped_column(ForeignKey("community.id"))
    nickname: Mapped[str]
    avatar_url: Mapped[str | None]
    status: Mapped[MemberStatus]
    locale: Mapped[str]
    registered_at: Mapped[datetime]
    phone_verified_at: Mapped[datetime | None]
    birthday: Mapped[Json | None]
    consents: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    # Staff and test members never count in metrics or training data.
    is_test: Mapped[bool] = mapped_column(Boolean, server_default=false())
    # Who this member turned out to be; always a member who is not merged into another.
    merged_into: Mapped[UUID | None] = mapped_column(ForeignKey("member.id"))


class Identity(Table):
    """One way in which a member is recognised; found by blind index, readable only with a key."""

    __tablename__ = "identity"
    __table_args__ = (Index(None, "member_id"),)

    kind: Mapped[IdentityKind] = mapped_column(primary_key=True)
    # The app (WeChat appid) or card system that issued the value; empty for phones.
    app: Mapped[str] = mapped_column(primary_key=True)
    blind: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[str]
    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"))
    linked_at: Mapped[datetime]
    # Which key of the index made `blind`; unknown for those of before there were several.
    index_kid: Mapped[str | None]


class Leader(Table):
    """A member with the leader's role (团长) in a community."""

    __tablename__ = "leader"
    __table_args__ = (Index(None, "community_id"),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    community_id: Mapped[UUID] = mapped_column(ForeignKey("community.id"), primary_key=True)
    since: Mapped[datetime]


class PhoneCode(Table):
    """The one-time code last sent to a phone, hashed."""

    __tablename__ = "phone_code"

    blind: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    tries: Mapped[int]
    sent_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Closure(Table):
    """That a member asked for their account to be closed, and what became of it."""

    __tablename__ = "member_closure"
    __table_args__ = (
        Index(None, "erase_at", postgresql_where=text("erased_at IS NULL")),
        CheckConstraint("requested_at <= erase_at", name="grace"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    requested_at: Mapped[datetime]
    # Until then the member may change their mind.
    erase_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]
