"""Refusals about eco actions."""

from app.kernel.errors import Refusal


class EcoActionNotFound(Refusal):
    """There is no such action."""

    code = "ECO_ACTION_NOT_FOUND"
    zh = "找不到该环保行动"
    en = "There is no such eco action."


class EcoActionExists(Refusal):
    """This kind of action was already submitted for the order, or for today without an order."""

    code = "ECO_ACTION_EXISTS"
    zh = "该环保行动已提交过"
    en = "This action has already been submitted."


class OrderNotYours(Refusal):
    """The order named as evidence is not one that the member has received."""

    code = "ORDER_NOT_YOURS"
    zh = "该订单不属于你或尚未完成"
    en = "This is not a settled order of yours."


class NotAwaitingVerification(Refusal):
    """The action has been decided already."""

    code = "NOT_AWAITING_VERIFICATION"
    zh = "该环保行动已处理"
    en = "This action has already been decided."


class NotCredited(Refusal):
    """Only a credited action can be reversed."""

    code = "NOT_CREDITED"
    zh = "该环保行动尚未入账"
    en = "This action has not been credited."
