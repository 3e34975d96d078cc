"""The file of trusted documents: SHA-256 to text, checked before anything is served by it."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from app.kernel.config import PREFIX, BadSettings

SETTING = f"{PREFIX}TRUSTED_DOCUMENTS"
_HEX = re.compile(r"[0-9a-f]{64}")


def digest_of(text: str) -> str:
    """The name of a document: the SHA-256 of its UTF-8 text, in hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def manifest_of(texts: Iterable[str]) -> str:
    """The manifest of documents, as JSON that differs only where they do."""
    by_digest = {digest_of(text): text for text in texts}
    return json.dumps(by_digest, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def read_manifest(file: Path) -> dict[str, str]:
    """The documents by their names.

    Raises BadSettings, with the reason, for a file that is no manifest.
    """
    try:
        found: object = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _bad(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise _bad(f"{file} is no JSON: {error}") from None
    if not isinstance(found, dict) or not found:
        raise _bad(f"{file} must be an object of SHA-256 to document, with one at least")
    for digest, text in found.items():
        if not isinstance(text, str):
            raise _bad(f"{file}: what stands under {digest} is no text")
        if not _HEX.fullmatch(digest):
            raise _bad(f"{file}: {digest!r} is no SHA-256 of 64 small hexadecimal digits")
        if digest_of(text) != digest:
            raise _bad(f"{file}: {digest} is not the SHA-256 of its document, {digest_of(text)}")
    return found


def _bad(said: str) -> BadSettings:
    return BadSettings(f"{SETTING}: {said}. `linli schema trust` writes such a file.")
