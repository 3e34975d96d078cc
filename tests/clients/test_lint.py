"""graphql-eslint and what its configuration leaves to us."""

from graphql import GraphQLObjectType, get_named_type

from schema import build_schema
from tests.clients.lint import lint

# Lines of a ledger or a run are written once and never fetched again; a benefit goes by its code
# and a claim of a pack by its pack; a ranked alert is an alert and its place of the day: values,
# with no id of their own.
VALUES = {"PointsEntry", "TierMove", "Benefit", "PackClaim", "RankedAlert"}


def test_what_we_publish_breaks_no_rule() -> None:
    done = lint("schema.graphql", "examples/graphql")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_rules_read_the_schema() -> None:
    done = lint("--rule", '{"@graphql-eslint/strict-id-in-types": "error"}', "schema.graphql")
    assert done.returncode == 1
    assert 'type "AlreadyClaimed" must have exactly one' in done.stdout


def test_every_edge_leads_to_something_that_can_be_fetched_again() -> None:
    kinds = build_schema()._schema.type_map.values()
    edges = [
        kind for kind in kinds if isinstance(kind, GraphQLObjectType) and kind.name.endswith("Edge")
    ]
    led_to = [get_named_type(edge.fields["node"].type) for edge in edges]
    plain = {
        kind.name
        for kind in led_to
        if isinstance(kind, GraphQLObjectType)
        and "Node" not in {interface.name for interface in kind.interfaces}
    }
    assert len(edges) > 5
    assert plain == VALUES
