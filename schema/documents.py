"""What documents may hold beyond what the language allows."""

from typing import Any

from graphql import GraphQLError, StringValueNode
from graphql.validation import ASTValidationRule

NUL = "\0"


class NoNulInTexts(ASTValidationRule):
    """Refuses texts that hold NUL (`"\\u{0}"`), which PostgreSQL cannot store.

    Variables never hold it: the view refuses it in the request's JSON.
    """

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        """Look at one text of the document."""
        if NUL in node.value:
            self.report_error(GraphQLError("Text may not hold NUL characters.", node))
