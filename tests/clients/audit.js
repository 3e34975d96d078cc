// The audits of graphql-http against a running server: `node audit.js URL` prints each result.
import { serverAudits } from "graphql-http";

const [url] = process.argv.slice(2);

// A GET that a browser sends without asking first is refused, so that no other site can send it
// for a member: ours carries a header that makes browsers ask. Nothing else is added.
const fetchFn = (address, init = {}) => {
  const { method = "GET" } = init;
  if (method !== "GET") return fetch(address, init);
  return fetch(address, { ...init, headers: { ...init.headers, "graphql-require-preflight": "1" } });
};

const results = [];
for (const audit of serverAudits({ url, fetchFn })) {
  const { id, name, status, reason } = await audit.fn();
  results.push({ id, name, status, reason: reason ?? null });
}
console.log(JSON.stringify(results));
