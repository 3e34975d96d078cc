"""GraphiQL for people, outside production, from our own files."""

from pathlib import Path

from schema.edge.refusals import Header

GRAPHIQL = Path(__file__).parent.parent / "graphiql"
# No page of ours loads code from elsewhere, or may be framed by others.
_POLICY = (
    b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"font-src 'self' data:; connect-src 'self' ws: wss:; worker-src 'self' blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
)


def page() -> bytes:
    """The page itself; what it loads is served under /graphiql."""
    return (GRAPHIQL / "index.html").read_bytes()
