"""Alembic migrations: they expand, backfill, contract."""
