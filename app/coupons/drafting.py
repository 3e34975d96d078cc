"""What staff may write into a coupon template."""

from dataclasses import dataclass, replace
from datetime import datetime

from app.coupons.rules import LONGEST_KEY, MAX_FEN
from app.coupons.tables import Kind, ReturnPolicy, Validity
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.text import checked_text

USUAL_DAYS = range(7, 15)
MAX_DAYS = 3650
MAX_SCOPE = 250
LONGEST_NAME = 60
LONGEST_REASON = 200
# Their cost depends on the basket, so the most it may be has to be said.
OPEN_ENDED = frozenset({Kind.PERCENT, Kind.EXCHANGE_PRICE})


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """A template as asked for."""

    name: str
    kind: Kind
    value: int
    validity: Validity
    threshold_fen: int = 0
    max_discount_fen: int | None = None
    skus: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    wait_days: int | None = None
    valid_days: int | None = None
    validity_reason: str | None = None
    return_policy: ReturnPolicy = ReturnPolicy.NEVER
    stacking_group: str | None = None
    exclusive: bool = False
    priority: int = 0
    per_member: int = 1
    per_identity: int | None = None
    first_order: bool = False
    ready_key: str | None = None


def cleaned(draft: TemplateDraft) -> TemplateDraft:
    """The draft with its texts as they are stored. Raises InvalidInput."""
    reason, group = draft.validity_reason, draft.stacking_group
    return replace(
        draft,
        name=checked_text(draft.name, field="name", longest=LONGEST_NAME),
        skus=_keys(draft.skus, "skus"),
        categories=_keys(draft.categories, "categories"),
        validity_reason=reason
        and checked_text(reason, field="validityReason", longest=LONGEST_REASON, shortest=0),
        stacking_group=group and checked_text(group, field="stackingGroup", longest=LONGEST_KEY),
    )


def _keys(texts: tuple[str, ...], field: str) -> tuple[str, ...]:
    if len(texts) > MAX_SCOPE:
        raise InvalidInput(
            field=field, reason=f"at most {MAX_SCOPE} entries", reason_zh=f"最多{MAX_SCOPE}项"
        )
    return tuple(sorted({checked_text(text, field=field, longest=LONGEST_KEY) for text in texts}))


def checked_cost(draft: TemplateDraft) -> int:
    """The most one coupon of a cleaned draft can take off, in fen. Raises InvalidInput."""
    most = 100 if draft.kind is Kind.PERCENT else MAX_FEN
    check_within(draft.value, 1, most, field="value")
    check_within(draft.threshold_fen, 0, MAX_FEN, field="thresholdFen")
    check_within(draft.per_member, 1, 1000, field="perMember")
    if draft.per_identity is not None:
        check_within(draft.per_identity, 1, 1000, field="perIdentity")
    _check_scope(draft)
    if draft.validity is Validity.ABSOLUTE:
        _check_absolute(draft)
    else:
        _check_relative(draft)
    return _cost(draft)


def _cost(draft: TemplateDraft) -> int:
    most = draft.max_discount_fen
    if draft.kind in OPEN_ENDED:
        if most is None:
            raise InvalidInput(
                field="maxDiscountFen",
                reason="say the most that one coupon of this kind may take off",
                reason_zh="此类优惠券须注明单张最高优惠金额",
            )
        check_within(most, 1, MAX_FEN, field="maxDiscountFen")
        return most
    if most is not None and most != draft.value:
        raise InvalidInput(
            field="maxDiscountFen",
            reason="a coupon of this kind takes off its value",
            reason_zh="此类优惠券的优惠金额即面值",
        )
    return draft.value


def _check_scope(draft: TemplateDraft) -> None:
    if draft.kind is Kind.CATEGORY and not draft.categories:
        raise InvalidInput(
            field="categories", reason="name at least one", reason_zh="至少指定一个品类"
        )
    if draft.kind is Kind.EXCHANGE_PRICE and len(draft.skus) != 1:
        raise InvalidInput(
            field="skus",
            reason="an exchange price is for one SKU",
            reason_zh="换购价须指定一个商品",
        )


def _check_absolute(draft: TemplateDraft) -> None:
    if draft.valid_from is None or draft.valid_until is None:
        raise InvalidInput(
            field="validUntil",
            reason="an absolute validity needs both its ends",
            reason_zh="固定有效期须注明起止时间",
        )
    if draft.valid_from >= draft.valid_until:
        raise InvalidInput(
            field="validUntil", reason="must be after validFrom", reason_zh="须晚于开始时间"
        )
    if draft.valid_days is not None or draft.wait_days is not None:
        raise InvalidInput(
            field="validDays", reason="is for relative validity", reason_zh="仅用于相对有效期"
        )


def _check_relative(draft: TemplateDraft) -> None:
    if draft.valid_from is not None or draft.valid_until is not None:
        raise InvalidInput(
            field="validFrom", reason="is for absolute validity", reason_zh="仅用于固定有效期"
        )
    if draft.valid_days is None:
        raise InvalidInput(field="validDays", reason="is missing", reason_zh="缺失")
    check_within(draft.valid_days, 1, MAX_DAYS, field="validDays")
    check_within(draft.wait_days or 0, 0, MAX_DAYS, field="waitDays")
    if draft.valid_days not in USUAL_DAYS and not draft.validity_reason:
        raise InvalidInput(
            field="validityReason",
            reason="a validity outside 7 to 14 days needs a stated reason",
            reason_zh="有效期不在7至14天之内时须说明理由",
        )
