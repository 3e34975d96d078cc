"""The one GraphQL API: every slice's types put together."""

from schema.build import build_schema
from schema.context import Ctx, Resources
from schema.edge.http import GraphQLEdge
from schema.edge.page import GRAPHIQL
from schema.view import GraphQLView

__all__ = ["GRAPHIQL", "Ctx", "GraphQLEdge", "GraphQLView", "Resources", "build_schema"]
