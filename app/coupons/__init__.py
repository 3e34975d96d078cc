"""Coupons: the face of the slice."""

from app.coupons.tables import Batch, BatchState, Coupon, CouponState, Template

__all__ = ["Batch", "BatchState", "Coupon", "CouponState", "Template"]
