// Scenarios of the client graphql-request: `node requests.js SCENARIO JSON`.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { batchRequests, ClientError, gql, GraphQLClient } from "graphql-request";
import { claim, client, given, ME, play, scheduledDrop } from "./scene.js";

const failure = (promise) =>
  promise.then(
    (data) => assert.fail(`answered ${JSON.stringify(data)}`),
    (error) => {
      assert.ok(error instanceof ClientError, String(error));
      return error.response;
    },
  );

await play({
  async query() {
    const info = await client().request(gql`{ serverInfo { version } }`);
    assert.ok(info.serverInfo.version);
    const { data, status, headers } = await client(given.member).rawRequest(ME);
    assert.ok(data.me.id);
    assert.equal(status, 200);
    assert.match(headers.get("content-type"), /^application\/(graphql-response\+)?json/);
    const page = await client(given.member).request(
      gql`query Page($first: Int!) { drops(first: $first) { nodes { id } pageInfo { hasNextPage } } }`,
      { first: 3 },
    );
    assert.ok(page.drops.nodes.length <= 3);
  },

  // The same key gets the same answer; another key, a refusal that is data and no error.
  async mutation() {
    const drop = await scheduledDrop();
    await drop.open();
    const key = randomUUID();
    const first = await claim(drop.id, given.member, key);
    assert.equal(first.claimDrop.__typename, "ClaimDropSuccess");
    assert.deepEqual(await claim(drop.id, given.member, key), first);
    const other = await claim(drop.id, given.member);
    assert.equal(other.claimDrop.code, "ALREADY_CLAIMED");
    assert.match(other.claimDrop.message, /^[A-Z].*\.$/);
  },

  async errors() {
    const unknown = await failure(client().request("{ nothing }"));
    assert.equal(unknown.errors[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");
    assert.equal(unknown.data, undefined);
    const broken = await failure(client().request("{"));
    assert.equal(broken.errors[0].extensions.code, "GRAPHQL_PARSE_FAILED");
    const missing = await failure(client().request("query Q($id: ID!) { node(id: $id) { id } }"));
    assert.equal(missing.errors[0].extensions.code, "BAD_USER_INPUT");
    const nobody = await failure(client().request("{ members { nodes { id } } }"));
    assert.equal(nobody.errors[0].extensions.code, "NOT_SIGNED_IN");
    const both = new GraphQLClient(given.url, { errorPolicy: "all" });
    const partly = await both.rawRequest('{ serverInfo { version } node(id: "x") { id } }');
    assert.ok(partly.data.serverInfo.version);
    assert.equal(partly.data.node, null);
    assert.deepEqual(partly.errors[0].path, ["node"]);
  },

  // A batch is one body for many operations; we answer one operation a request, and say so.
  async batch() {
    const refused = await failure(
      batchRequests(given.url, [{ document: ME }, { document: ME }]),
    );
    assert.equal(refused.status, 400);
  },

  // Documents that the server was given beforehand, by their hash, in both forms.
  async trusted() {
    const sha256Hash = createHash("sha256").update(given.document).digest("hex");
    const forms = [
      { documentId: `sha256:${sha256Hash}` },
      { extensions: { persistedQuery: { version: 1, sha256Hash } } },
    ];
    for (const form of forms) {
      const sent = [];
      const trusting = new GraphQLClient(given.url, {
        requestMiddleware: (request) => {
          const { query, ...rest } = JSON.parse(request.body);
          sent.push(JSON.stringify({ ...rest, ...form }));
          return { ...request, body: sent.at(-1) };
        },
      });
      const answer = await trusting.request(given.document);
      assert.ok(answer.serverInfo.version, sent.at(-1));
      assert.ok(!sent.at(-1).includes("serverInfo"));
    }
    const refused = await failure(client().request("{ __typename }"));
    assert.equal(refused.errors[0].extensions.code, "DOCUMENT_NOT_TRUSTED");
  },
});
