// Scenarios of the client graphql-sse: `node streams.js SCENARIO JSON`.
import assert from "node:assert/strict";
import { createClient } from "graphql-sse";
import { claim, given, ME, play, remaining, scheduledDrop, until, WATCH } from "./scene.js";

const connect = (token) =>
  createClient({
    url: given.url,
    headers: token ? { authorization: `Bearer ${token}`, "accept-language": "en" } : {},
    retryAttempts: 0,
  });

const watch = (client, id, after) => client.iterate({ query: WATCH, variables: { id, after } });

await play({
  async drop() {
    const drop = await scheduledDrop();
    const client = connect(given.member);
    const updates = watch(client, drop.id);
    await until(updates, remaining(20));
    await drop.open();
    await until(updates, (data) => data.dropUpdated.drop.state === "OPEN");
    await claim(drop.id, given.member);
    const seen = await until(updates, remaining(19));
    await updates.return();
    // Another stream goes on where this one ended.
    await claim(drop.id, given.other);
    const later = watch(client, drop.id, seen.at(-1).dropUpdated.cursor);
    const [next] = await until(later, () => true);
    assert.equal(next.dropUpdated.drop.remaining, 18);
    client.dispose();
  },

  // An operation that answers once is a stream of one.
  async once() {
    const seen = [];
    for await (const result of connect(given.member).iterate({ query: ME })) seen.push(result);
    assert.equal(seen.length, 1);
    assert.ok(seen[0].data.me.id);
  },

  // What is refused is told as GraphQL errors with codes.
  async refused() {
    const told = await connect(null)
      .iterate({ query: WATCH, variables: { id: "x" } })
      .next()
      .then(({ value }) => value.errors, (error) => (Array.isArray(error) ? error : Promise.reject(error)));
    assert.equal(told[0].extensions.code, "NOT_SIGNED_IN");
  },
});
