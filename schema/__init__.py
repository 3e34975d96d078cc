"""The one GraphQL API: every slice's types put together."""

from schema.build import build_schema
from schema.context import Ctx, Resources
from schema.downloads import download
from schema.edge.churn_figures import ChurnFigures
from schema.edge.http import GraphQLEdge
from schema.edge.page import GRAPHIQL
from schema.edge.sockets import Sockets

__all__ = [
    "GRAPHIQL",
    "ChurnFigures",
    "Ctx",
    "GraphQLEdge",
    "Resources",
    "Sockets",
    "build_schema",
    "download",
]
