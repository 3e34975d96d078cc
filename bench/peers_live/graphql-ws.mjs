// graphql-ws on ws as its documentation shows it: each subscriber has an async iterator of their
// own, and each event is executed and encoded for each of them.
import { createServer } from "node:http";
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const schema = buildSchema(`
  type Drop { id: ID! title: String! state: String! opensAt: String! closesAt: String! stock: Int! remaining: Int! }
  type DropUpdate { cursor: String! drop: Drop! }
  type Query { none: Int }
  type Subscription { dropUpdated(dropId: ID!): DropUpdate! }
`);

const followers = new Set();
let latest = null;

async function* follow() {
  const unread = [];
  let wake = () => {};
  const follower = (event) => {
    unread.push(event);
    wake();
  };
  followers.add(follower);
  try {
    if (latest !== null) yield latest;
    while (true) {
      while (unread.length > 0) yield unread.shift();
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    followers.delete(follower);
  }
}

schema.getSubscriptionType().getFields().dropUpdated.subscribe = follow;

const server = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    latest = { dropUpdated: JSON.parse(body) };
    for (const follower of followers) follower(latest);
    response.end("ok");
  });
});
useServer({ schema }, new WebSocketServer({ server, path: "/graphql", perMessageDeflate: false }));
server.listen(Number(process.env.BENCH_PORT), "127.0.0.1");
