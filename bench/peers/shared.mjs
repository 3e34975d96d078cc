// What both peers share: where the database is, and who a token speaks for.
import { createVerifier } from "fast-jwt";

const url = new URL(process.env.BENCH_DATABASE_URL.replace("@/", "@localhost/"));

// node-postgres and postgres.js alike take a folder of sockets as their host.
export const database = {
  user: decodeURIComponent(url.username),
  database: url.pathname.slice(1),
  host: url.searchParams.get("host"),
  port: Number(url.searchParams.get("port")),
  max: Number(process.env.BENCH_POOL),
};
export const port = Number(process.env.BENCH_PORT);

const key = Buffer.from(process.env.BENCH_TOKEN_KEYS.split(":")[1], "base64");
// No cache of tokens: with HS256 a lookup costs about what the check does.
const verify = createVerifier({ key, algorithms: ["HS256"], allowedIss: "linli" });

/** The id of the member that an Authorization header speaks for; throws unless it is signed. */
export function memberOf(header) {
  return verify(header.slice("Bearer ".length)).sub;
}
