"""The one GraphQL API: every slice's types put together."""

from schema.build import build_schema
from schema.context import Ctx, Resources
from schema.view import GRAPHIQL, GraphQLView

__all__ = ["GRAPHIQL", "Ctx", "GraphQLView", "Resources", "build_schema"]
