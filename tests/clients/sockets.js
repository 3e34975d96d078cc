// Scenarios of the client graphql-ws: `node sockets.js SCENARIO JSON`.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { claim, CLAIM, given, ME, MINE, play, remaining, scheduledDrop, TIME, until, WATCH } from "./scene.js";

const connect = (token, options = {}) =>
  createClient({
    url: given.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: token ? { authorization: `Bearer ${token}`, locale: "en" } : {},
    retryAttempts: 0,
    ...options,
  });

const watch = (client, id, after) => client.iterate({ query: WATCH, variables: { id, after } });

await play({
  // A drop is opened and claimed under the eyes of one socket with two subscriptions.
  async drop() {
    const drop = await scheduledDrop();
    const client = connect(given.member);
    const updates = watch(client, drop.id);
    const mine = client.iterate({ query: MINE });
    const [first] = await until(updates, remaining(20));
    assert.equal(first.dropUpdated.drop.state, "SCHEDULED");
    await drop.open();
    await until(updates, (data) => data.dropUpdated.drop.state === "OPEN");
    const claimed = await claim(drop.id, given.member);
    assert.equal(claimed.claimDrop.drop.remaining, 19);
    await until(updates, remaining(19));
    await until(mine, (data) => data.myUpdates.kind === "coupon.granted");
    await client.dispose();
  },

  // What happened while nobody listened arrives with `after`, once.
  async resume() {
    const drop = await scheduledDrop();
    await drop.open();
    const before = connect(given.member);
    const [{ dropUpdated }] = await until(watch(before, drop.id), remaining(20));
    await before.dispose();
    await claim(drop.id, given.member);
    const later = connect(given.member);
    const updates = watch(later, drop.id, dropUpdated.cursor);
    const [missed, ...more] = await until(updates, remaining(19));
    assert.deepEqual(more, []);
    assert.notEqual(missed.dropUpdated.cursor, dropUpdated.cursor);
    await claim(drop.id, given.other);
    const [next] = await until(updates, () => true);
    assert.equal(next.dropUpdated.drop.remaining, 18);
    await later.dispose();
  },

  async badToken() {
    for (const token of ["nonsense", `${given.member}x`]) {
      const client = connect(token);
      const failed = await client.iterate({ query: ME }).next().catch((error) => error);
      assert.equal(failed.code, 4403, String(failed));
    }
  },

  // Without a token one is nobody: public fields answer, others say who is missing.
  async anonymous() {
    const client = connect(null);
    const { value } = await client.iterate({ query: "{ serverInfo { version } }" }).next();
    assert.ok(value.data.serverInfo.version);
    const refused = await client.iterate({ query: MINE }).next().catch((error) => [error]);
    const errors = Array.isArray(refused) ? refused.flat() : refused.value.errors;
    assert.equal(errors[0].extensions.code, "NOT_SIGNED_IN");
    await client.dispose();
  },

  // The client's own pings are answered, and the time is told every second.
  async time() {
    let pongs = 0;
    const client = connect(null, {
      keepAlive: 300,
      on: { pong: (received) => received && (pongs += 1) },
    });
    const ticks = client.iterate({ query: TIME });
    const told = [];
    for (let tick = 0; tick < 3; tick += 1) {
      const { value } = await ticks.next();
      told.push(Date.parse(value.data.serverTime.time));
    }
    assert.ok(told[1] > told[0] && told[2] > told[1], String(told));
    assert.ok(Math.abs(told[2] - Date.now()) < 30_000);
    assert.ok(pongs >= 2, `${pongs} pongs`);
    await client.dispose();
  },

  // No socket before it is needed, one for all that is asked at once, none afterwards.
  async lazy() {
    const seen = [];
    const on = Object.fromEntries(
      ["connecting", "connected", "closed"].map((name) => [name, () => seen.push(name)]),
    );
    const client = connect(given.member, { lazy: true, on });
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual(seen, []);
    const drop = await scheduledDrop();
    const asked = [
      client.iterate({ query: ME }),
      client.iterate({ query: CLAIM, variables: { id: drop.id, key: "over a socket" } }),
      watch(client, drop.id),
    ];
    const [me, claimed, update] = await Promise.all(asked.map((iterator) => iterator.next()));
    assert.ok(me.value.data.me.id);
    assert.equal(claimed.value.data.claimDrop.code, "NOT_OPEN");
    assert.equal(update.value.data.dropUpdated.drop.remaining, 20);
    assert.deepEqual(seen, ["connecting", "connected"]);
    await Promise.all(asked.map((iterator) => iterator.return()));
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.deepEqual(seen, ["connecting", "connected", "closed"]);
  },

  // A document that is none ends its operation with errors, and the socket lives on.
  async mistakes() {
    const client = connect(given.member);
    for (const query of ["{ nothing }", "{", "query A { __typename } query B { __typename }"]) {
      const failed = await client.iterate({ query }).next().catch((error) => error);
      assert.ok(Array.isArray(failed), `${query}: ${failed}`);
      assert.ok(failed[0].extensions.code, JSON.stringify(failed));
    }
    const watched = await watch(client, "bm9uc2Vuc2U").next().catch((error) => [error].flat());
    const [error] = Array.isArray(watched) ? watched : watched.value.errors;
    assert.equal(error.extensions.code, "INVALID_INPUT");
    const { value } = await client.iterate({ query: ME }).next();
    assert.ok(value.data.me.id);
    await client.dispose();
  },

  // Where only known documents are answered: by its hash, and no other.
  async trusted() {
    const sha256Hash = createHash("sha256").update(given.document).digest("hex");
    const client = connect(null);
    // This client insists on a text, and its users send an empty one.
    const known = { query: "", extensions: { persistedQuery: { version: 1, sha256Hash } } };
    const { value } = await client.iterate(known).next();
    assert.ok(value.data.serverInfo.version);
    const refused = await client.iterate({ query: "{ __typename }" }).next().catch((error) => error);
    assert.equal(refused[0].extensions.code, "DOCUMENT_NOT_TRUSTED");
    await client.dispose();
  },

  // The server is restarted; the client comes back by itself and misses nothing.
  async restart() {
    const drop = await scheduledDrop();
    await drop.open();
    const variables = { id: drop.id };
    const closes = [];
    const client = connect(given.member, {
      retryAttempts: 60,
      retryWait: () => new Promise((resolve) => setTimeout(resolve, 500)),
      // The port refuses connections while nobody listens: that is no reason to give up.
      shouldRetry: () => true,
      on: { closed: (event) => closes.push(event.code) },
    });
    const seen = [];
    const arrived = new Promise((resolve, reject) => {
      client.subscribe(
        { query: WATCH, variables },
        {
          next({ data, errors }) {
            if (errors) reject(new Error(JSON.stringify(errors)));
            variables.after = data.dropUpdated.cursor;
            seen.push(data.dropUpdated.drop.remaining);
            if (seen.length === 1) console.log("restart me");
            if (seen.at(-1) === 19) resolve();
          },
          error: reject,
          complete: () => {},
        },
      );
    });
    await once(process.stdin, "data"); // the server is back
    await claim(drop.id, given.member);
    await arrived;
    assert.deepEqual(seen, [20, 19]);
    assert.equal(closes[0], 1012);
    await client.dispose();
  },
});
