"""Refusals around reviews."""

from app.kernel.errors import Refusal


class NotABuyer(Refusal):
    """Only those who bought a product may review it."""

    code = "NOT_A_BUYER"
    zh = "购买过该商品后才能评价"
    en = "Only those who bought this product may review it."


class AlreadyReviewed(Refusal):
    """A member reviews a product once."""

    code = "ALREADY_REVIEWED"
    zh = "您已评价过该商品"
    en = "You have reviewed this product already."


class ReviewNotFound(Refusal):
    """There is no such review."""

    code = "REVIEW_NOT_FOUND"
    zh = "找不到该评价"
    en = "There is no such review."
