// What the scenarios share: their settings, documents and the drop that they watch.
import { randomUUID } from "node:crypto";
import { GraphQLClient } from "graphql-request";

// The last word of the command line is JSON: addresses and tokens.
export const given = JSON.parse(process.argv.at(-1));

export const WATCH = `subscription Watch($id: ID!, $after: String) {
  dropUpdated(dropId: $id, after: $after) { cursor drop { state remaining } } }`;
export const MINE = "subscription Mine { myUpdates { kind cursor } }";
export const TIME = "subscription Time { serverTime { time } }";
export const ME = "query Me { me { id nickname } }";
const TEMPLATE = `mutation Template { createCouponTemplate(input: {
  name: "Welcome back", kind: FIXED, value: 500, thresholdFen: 2000, validDays: 7,
  batch: {quantity: 50}}) {
  ... on CreateCouponTemplateSuccess { batch { id } } ... on UserError { code message } } }`;
const DROP = `mutation Drop($batch: ID!, $opens: DateTime!, $closes: DateTime!) {
  createDrop(input: {batchId: $batch, title: "Evening drop", opensAt: $opens, closesAt: $closes,
    stock: 20}) {
  ... on CreateDropSuccess { drop { id } } ... on UserError { code message } } }`;
const OPEN = `mutation Open($id: ID!) { openDrop(input: {dropId: $id}) {
  ... on OpenDropSuccess { drop { state } } ... on UserError { code message } } }`;
export const CLAIM = `mutation Claim($id: ID!, $key: String!) {
  claimDrop(input: {dropId: $id, idempotencyKey: $key}) {
    __typename ... on ClaimDropSuccess { drop { remaining } }
    ... on UserError { code message } } }`;

export const client = (token) =>
  new GraphQLClient(given.url, {
    headers: { "accept-language": "en", ...(token && { authorization: `Bearer ${token}` }) },
  });

export const claim = (id, token, key = randomUUID()) => client(token).request(CLAIM, { id, key });

// A drop of 20, scheduled, and how to open it.
export async function scheduledDrop() {
  const boss = client(given.staff);
  const batch = (await boss.request(TEMPLATE)).createCouponTemplate.batch.id;
  const at = (minutes) => new Date(Date.now() + minutes * 60_000).toISOString();
  const made = await boss.request(DROP, { batch, opens: at(60), closes: at(120) });
  const { id } = made.createDrop.drop;
  return { id, open: () => boss.request(OPEN, { id }) };
}

// An iterator's values until one fits; all that were seen.
export async function until(iterator, fits) {
  const seen = [];
  for (;;) {
    const { value, done } = await iterator.next();
    if (done) throw new Error(`the stream ended after ${JSON.stringify(seen)}`);
    if (value.errors) throw new Error(JSON.stringify(value.errors));
    seen.push(value.data);
    if (fits(value.data)) return seen;
  }
}

export const remaining = (number) => (data) => data.dropUpdated.drop.remaining === number;

// Run the scenario that the first word names; a hanging one ends with a message.
export async function play(scenarios) {
  const name = process.argv[2];
  setTimeout(() => {
    console.error(`${name} hangs`);
    process.exit(2);
  }, 60_000).unref();
  await scenarios[name]();
  console.log("done");
  process.exit(0);
}
