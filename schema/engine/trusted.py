"""Trusted documents: an installation that answers only what its own clients were built with.

A manifest maps the SHA-256 of each document to its text. A request names a document by
`documentId` (GraphQL over HTTP, appendix A) or by Apollo's `extensions.persistedQuery`, or sends
the text itself. Without a manifest every text is answered and no name is known.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.kernel.manifest import digest_of, read_manifest
from schema.engine.documents import refused

SCHEME = "sha256:"


class Trusted:
    """The documents of a manifest; without one, nothing is asked of a text."""

    def __init__(self, texts: Iterable[str] | None = None) -> None:
        """Trust these documents only, or with None any."""
        self._by_digest = {digest_of(text): text for text in texts or ()}
        self._texts = None if texts is None else frozenset(self._by_digest.values())

    @classmethod
    def load(cls, file: Path | None) -> "Trusted":
        """The documents of the manifest at this place.

        Raises BadSettings, with the reason, for a file that is none.
        """
        return cls() if file is None else cls(read_manifest(file).values())

    @property
    def is_restricted(self) -> bool:
        """True if there is a manifest."""
        return self._texts is not None

    def text_of(self, document_id: str) -> str | None:
        """The text of `sha256:<hex>`; None if it is not known."""
        if not document_id.startswith(SCHEME):
            return None
        return self._by_digest.get(document_id.removeprefix(SCHEME).lower())

    def asked_text(self, body: Mapping[str, Any], *, exempt: bool = False) -> str:
        """The text that a request asks for, in whichever form; the same for HTTP and sockets.

        Exempt callers may send any text. Raises RequestRefused: BAD_REQUEST for what is no
        request, PERSISTED_QUERY_NOT_FOUND, PERSISTED_QUERY_NOT_SUPPORTED (by which Apollo's
        clients stop sending hashes), PERSISTED_QUERY_MISMATCH, DOCUMENT_NOT_TRUSTED.
        """
        text = body.get("query")
        if text is not None and not isinstance(text, str):
            raise refused("query must be a string.", "BAD_REQUEST")
        named = self._named(body)
        if named is None:
            if text is None:
                raise refused("No GraphQL query found in the request.", "BAD_REQUEST")
        elif not text:  # graphql-ws cannot leave the text out, and sends an empty one
            return self._found(named)
        elif SCHEME + digest_of(text) != named:
            raise refused("provided sha does not match query", "PERSISTED_QUERY_MISMATCH")
        if self._texts is not None and not exempt and text not in self._texts:
            raise refused(
                "Only documents that this service was set up with are answered.",
                "DOCUMENT_NOT_TRUSTED",
            )
        return text

    def _found(self, named: str) -> str:
        text = self.text_of(named)
        if text is not None:
            return text
        if self._texts is None:
            raise refused("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
        raise refused("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")

    def _named(self, body: Mapping[str, Any]) -> str | None:
        """The name that a request gives, `sha256:<hex>`; both forms must agree."""
        document_id = body.get("documentId")
        if document_id is not None and not isinstance(document_id, str):
            raise refused("documentId must be a string.", "BAD_REQUEST")
        if document_id is not None and document_id.startswith(SCHEME):
            document_id = document_id.lower()
        hashed = _apollo(body.get("extensions"))
        if document_id is not None and hashed is not None and document_id != hashed:
            raise refused("documentId and persistedQuery differ.", "PERSISTED_QUERY_MISMATCH")
        return document_id if document_id is not None else hashed


def _apollo(extensions: object) -> str | None:
    """The name in `extensions.persistedQuery`, version 1."""
    given = extensions.get("persistedQuery") if isinstance(extensions, Mapping) else None
    if given is None:
        return None
    version = given.get("version") if isinstance(given, Mapping) else None
    digest = given.get("sha256Hash") if isinstance(given, Mapping) else None
    if not isinstance(digest, str):
        raise refused("persistedQuery must hold version 1 and sha256Hash.", "BAD_REQUEST")
    if version != 1:
        raise refused("Unsupported persisted query version", "PERSISTED_QUERY_NOT_SUPPORTED")
    return SCHEME + digest.lower()
