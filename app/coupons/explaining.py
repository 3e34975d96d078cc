"""Prices as stored explanations, and prices out of them again."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.coupons.pricing import Offer, PointsUse, Pricing, Prior, Step, price
from app.coupons.rules import Apart, Basket, Line, Terms
from app.coupons.tables import Kind
from app.kernel.table import Json


def explain(pricing: Pricing) -> Json:
    """All that a price was reckoned from and what came of it, as JSON; `replay` reads it again."""
    points = pricing.points
    apart = [_apart_json(unit) for unit in pricing.basket.apart]
    return {
        "lines": [
            {
                "sku": line.sku,
                "category": line.category,
                "quantity": line.quantity,
                "unit_fen": line.unit_fen,
                "prior_fen": before,
                "payable_fen": payable,
            }
            for line, before, payable in zip(
                pricing.basket.lines, pricing.prior.lines, pricing.payable_lines, strict=True
            )
        ],
        "shipping_fen": pricing.basket.shipping_fen,
        "prior_shipping_fen": pricing.prior.shipping_fen,
        "offers": [_offer_json(offer) for offer in pricing.offers],
        "points": points
        and {
            "asked": points.asked,
            "balance": points.balance,
            "per_yuan": points.per_yuan,
            "most_percent": points.most_percent,
        },
        "steps": [_step_json(step) for step in pricing.steps],
        "subtotal_fen": pricing.subtotal_fen,
        "saved_fen": pricing.saved_fen,
        "payable_shipping_fen": pricing.payable_shipping_fen,
        "payable_fen": pricing.payable_fen,
        # What was stored before there were any says nothing of them.
        **({"apart": apart} if apart else {}),
    }


def _apart_json(unit: Apart) -> Json:
    return {
        "ref": unit.ref,
        "sku": unit.sku,
        "unit_fen": unit.unit_fen,
        "price_fen": unit.price_fen,
    }


def _offer_json(offer: Offer) -> Json:
    terms = offer.terms
    return {
        "coupon_id": str(offer.coupon_id),
        "kind": terms.kind.value,
        "value": terms.value,
        "threshold_fen": terms.threshold_fen,
        "max_discount_fen": terms.max_discount_fen,
        "skus": sorted(terms.skus),
        "categories": sorted(terms.categories),
        "expires_at": offer.expires_at.isoformat(),
        "group": offer.group,
        "exclusive": offer.exclusive,
        "priority": offer.priority,
    }


def _step_json(step: Step) -> Json:
    return {
        "stage": step.stage.value,
        "coupon_id": None if step.coupon_id is None else str(step.coupon_id),
        "base_fen": step.base_fen,
        "discount_fen": step.fen,
        "shares": list(step.shares),
        "shipping_fen": step.shipping_fen,
        "points": step.points,
    }


def offer_of(told: Json) -> Offer:
    """A coupon out of a stored explanation."""
    return Offer(
        coupon_id=UUID(told["coupon_id"]),
        terms=Terms(
            kind=Kind(told["kind"]),
            value=told["value"],
            threshold_fen=told["threshold_fen"],
            max_discount_fen=told["max_discount_fen"],
            skus=frozenset(told["skus"]),
            categories=frozenset(told["categories"]),
        ),
        expires_at=datetime.fromisoformat(told["expires_at"]),
        group=told["group"],
        exclusive=told["exclusive"],
        priority=told["priority"],
    )


def basket_of(told: Json) -> Basket:
    """The basket out of a stored explanation."""
    lines: list[Any] = told["lines"]
    return Basket(
        [Line(item["sku"], item["category"], item["quantity"], item["unit_fen"]) for item in lines],
        told["shipping_fen"],
        tuple(Apart(**unit) for unit in told.get("apart", ())),
    )


def replay(told: Json) -> Pricing:
    """The price that a stored explanation tells of, reckoned again from what it was made from."""
    lines: list[Any] = told["lines"]
    prior = Prior(tuple(item["prior_fen"] for item in lines), told["prior_shipping_fen"])
    points = told["points"]
    return price(
        basket_of(told),
        [offer_of(item) for item in told["offers"]],
        prior=prior,
        points=None if points is None else PointsUse(**points),
    )
