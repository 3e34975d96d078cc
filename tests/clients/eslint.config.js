// Rules that others wrote, for the schema: graphql-eslint's recommended set and Relay's.
// A rule that is switched off or loosened says why.
import graphql from "@graphql-eslint/eslint-plugin";

export default [
  {
    files: ["**/*.graphql"],
    plugins: { "@graphql-eslint": graphql },
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: "schema.graphql", documents: "examples/**/*.graphql" } },
    },
  },
  {
    files: ["schema.graphql"],
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,
      ...graphql.configs["flat/schema-relay"].rules,

      // Only what can be fetched again has an id, and says so by implementing Node. Refusals,
      // successes, connections, edges and figures are values: an id would promise what
      // `node(id:)` cannot keep.
      "@graphql-eslint/strict-id-in-types": "off",

      // Pages go forward only (`first`, `after`): they are keysets over indexes that are read in
      // one direction, and no client of ours turns back.
      "@graphql-eslint/relay-arguments": ["error", { includeBoth: false }],

      "@graphql-eslint/relay-edge-types": [
        "error",
        {
          withEdgeSuffix: true,
          // Short lists with a bound (options of a ballot, reasons of an alert) are plain lists,
          // and connections offer `nodes` beside `edges`.
          listTypeCanWrapOnlyEdgeType: false,
          // One edge leads to a value: PointsEntry, a line of a ledger, which is written once and
          // never fetched again. tests/clients/test_lint.py holds all other edges to Node.
          shouldImplementNode: false,
        },
      ],
    },
  },
  {
    files: ["examples/**/*.graphql"],
    rules: {
      ...graphql.configs["flat/operations-recommended"].rules,
      // The examples select what a screen shows. Ids belong where a client's cache needs them,
      // which depends on the client.
      "@graphql-eslint/require-selections": "off",
    },
  },
];
