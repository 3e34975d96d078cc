"""Members, communities and leaders: the face of the slice."""

from app.members.commands import (
    appoint_leader,
    create_community,
    link_phone,
    recognise,
    register,
    request_phone_code,
    sign_in_by_phone,
    try_phone_code,
)
from app.members.errors import (
    BadPhoneNumber,
    CodeRefused,
    CodeSentRecently,
    CommunityNotFound,
    IdentityTaken,
    MemberNotActive,
    MemberNotFound,
)
from app.members.events import MemberRegistered, member_topic, member_topic_in_sql
from app.members.queries import (
    by_id,
    by_identity,
    communities_by_id,
    leaders_by_community,
    page,
    zone_of,
)
from app.members.rules import CODE_LIFETIME, nickname_or, normal_phone
from app.members.tables import (
    Community,
    Identity,
    IdentityKind,
    Leader,
    Member,
    MemberStatus,
    PhoneCode,
)

__all__ = [
    "CODE_LIFETIME",
    "BadPhoneNumber",
    "CodeRefused",
    "CodeSentRecently",
    "Community",
    "CommunityNotFound",
    "Identity",
    "IdentityKind",
    "IdentityTaken",
    "Leader",
    "Member",
    "MemberNotActive",
    "MemberNotFound",
    "MemberRegistered",
    "MemberStatus",
    "PhoneCode",
    "appoint_leader",
    "by_id",
    "by_identity",
    "communities_by_id",
    "create_community",
    "leaders_by_community",
    "link_phone",
    "member_topic",
    "member_topic_in_sql",
    "nickname_or",
    "normal_phone",
    "page",
    "recognise",
    "register",
    "request_phone_code",
    "sign_in_by_phone",
    "try_phone_code",
    "zone_of",
]
