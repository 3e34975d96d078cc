"""The wire: who calls, GraphQL over HTTP, graphql-transport-ws, server-sent events."""
