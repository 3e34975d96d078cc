"""Fast execution of prepared operations; README.md explains it on one page."""

from schema.engine.answering import Answer, Engine, presented, refusal_of
from schema.engine.documents import Documents, Operation, RequestRefused, refused

__all__ = [
    "Answer",
    "Documents",
    "Engine",
    "Operation",
    "RequestRefused",
    "presented",
    "refusal_of",
    "refused",
]
