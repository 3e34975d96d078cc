// Mercurius on Fastify: a schema by hand, the JIT from the first request on, loaders where a list
// leads to other rows. It answers the same document as Linli.
import Fastify from "fastify";
import mercurius from "mercurius";
import postgres from "postgres";
import { database, memberOf, port } from "./shared.mjs";

const schema = `
  scalar DateTime
  enum BallotStatus { DRAFT OPEN CLOSED TALLIED ADOPTED REJECTED NO_QUORUM }
  enum CouponStatus { WAITING ACTIVE RESERVED REDEEMED RETURNED EXPIRED REVOKED }
  type Query {
    me: Member
    ballots(status: BallotStatus, first: Int! = 20): BallotConnection!
  }
  type Member {
    id: ID!
    nickname: String!
    tier: MemberTier!
    points: PointsAccount!
    coupons(status: CouponStatus, first: Int! = 20): CouponConnection!
    badges: [MemberBadge!]!
  }
  type MemberTier { code: String! name: String! rank: Int! benefits: [TierBenefit!]! }
  type TierBenefit { code: String! name: String! quota: Int window: String }
  type PointsAccount {
    balance: Int!
    pending: Int!
    entries(first: Int! = 20): PointsEntryConnection!
  }
  type PointsEntryConnection { nodes: [PointsEntry!]! }
  type PointsEntry { kind: String! amount: Int! at: DateTime! }
  type CouponConnection { nodes: [Coupon!]! }
  type Coupon { id: ID! code: String expiresAt: DateTime! template: CouponTemplate! }
  type CouponTemplate {
    id: ID!
    name: String!
    kind: String!
    value: Int!
    thresholdFen: Int!
  }
  type MemberBadge { code: String! name: String! issuedAt: DateTime! }
  type BallotConnection { nodes: [Ballot!]! }
  type Ballot { id: ID! question: String! closesAt: DateTime! options: [BallotChoice!]! }
  type BallotChoice { id: ID! label: String! }
`;

// Instants stay text, as PostgreSQL writes them: cheaper than a Date, and microseconds are kept.
const instants = { to: 1184, from: [1184], serialize: String, parse: (text) => text };
const bigints = { to: 20, from: [20], serialize: String, parse: Number };
const { host, port: socket, max, ...who } = database;
const sql = postgres({
  ...who,
  max,
  path: `${host}/.s.PGSQL.${socket}`,
  types: { instants, bigints },
  connection: { TimeZone: "UTC" },
});

const DateTime = {
  serialize: (text) => `${text.slice(0, 10)}T${text.slice(11, text.lastIndexOf("+"))}Z`,
};

const benefitOf = ({ code, zh, quota, window }) => ({ code, name: zh, quota, window });

const resolvers = {
  DateTime,
  Query: {
    me: async (_, __, { memberId }) =>
      (await sql`SELECT id, nickname FROM member WHERE id = ${memberId}`)[0],
    ballots: async (_, { status, first }, { memberId }) => ({
      nodes: await sql`
        SELECT b.id, b.question, b.closes_at AS "closesAt"
        FROM ballot b JOIN member m ON m.id = ${memberId}
        WHERE b.state = ${status} AND (b.community_id IS NULL OR b.community_id = m.community_id)
        ORDER BY b.opens_at DESC, b.id DESC LIMIT ${first}`,
    }),
  },
  Member: {
    tier: async ({ id }) => {
      const [row] = await sql`
        SELECT t.code, t.name_zh AS name, t.rank, t.benefits
        FROM tier_standing s JOIN tier t ON t.code = s.tier_code WHERE s.member_id = ${id}`;
      return { ...row, benefits: row.benefits.map(benefitOf) };
    },
    points: async ({ id }) => {
      const [row] = await sql`
        SELECT a.member_id AS "memberId",
          a.active - l.overdue + l.matured - least(a.debt, l.matured) AS balance,
          a.pending - l.matured AS pending
        FROM points_account a CROSS JOIN LATERAL (
          SELECT
            coalesce(sum(remaining) FILTER (WHERE status = 'PENDING' AND available_at <= now()), 0)
              ::bigint AS matured,
            coalesce(sum(remaining) FILTER (WHERE status = 'ACTIVE' AND expires_at <= now()), 0)
              ::bigint AS overdue
          FROM points_lot
          WHERE member_id = a.member_id AND currency = a.currency
            AND status IN ('PENDING', 'ACTIVE')
        ) l
        WHERE a.member_id = ${id} AND a.currency = 'POINTS'`;
      return row;
    },
    coupons: async ({ id }, { status, first }) => ({
      nodes: await sql`
        SELECT id, code, expires_at AS "expiresAt", template_id AS "templateId"
        FROM coupon WHERE member_id = ${id} AND state = ${status} ORDER BY id DESC LIMIT ${first}`,
    }),
    badges: ({ id }) => sql`
      SELECT b.code, b.name_zh AS name, a.issued_at AS "issuedAt"
      FROM badge_award a JOIN badge b ON b.code = a.badge_code
      WHERE a.member_id = ${id} AND a.revoked_at IS NULL
        AND (a.expires_at IS NULL OR a.expires_at > now())
      ORDER BY a.issued_at DESC, a.badge_code`,
  },
  PointsAccount: {
    entries: async ({ memberId }, { first }) => ({
      nodes: await sql`
        SELECT kind, at, CASE WHEN kind = 'DEBT' OR active_delta + pending_delta < 0
          THEN -amount ELSE amount END AS amount
        FROM points_entry WHERE member_id = ${memberId} AND currency = 'POINTS'
        ORDER BY seq DESC LIMIT ${first}`,
    }),
  },
};

const loaders = {
  Coupon: {
    template: async (queries) => {
      const ids = [...new Set(queries.map(({ obj }) => obj.templateId))];
      const rows = await sql`
        SELECT id, name, kind, value, threshold_fen AS "thresholdFen"
        FROM coupon_template WHERE id = ANY(${ids})`;
      const byId = new Map(rows.map((row) => [row.id, row]));
      return queries.map(({ obj }) => byId.get(obj.templateId));
    },
  },
  Ballot: {
    options: async (queries) => {
      const rows = await sql`
        SELECT ballot_id, id, label FROM ballot_option
        WHERE ballot_id = ANY(${queries.map(({ obj }) => obj.id)})
        ORDER BY ballot_id, position`;
      const byBallot = new Map();
      for (const row of rows) {
        const options = byBallot.get(row.ballot_id);
        if (options) options.push(row);
        else byBallot.set(row.ballot_id, [row]);
      }
      return queries.map(({ obj }) => byBallot.get(obj.id) ?? []);
    },
  },
};

const app = Fastify({ logger: false });
app.register(mercurius, {
  schema,
  resolvers,
  loaders,
  jit: 1,
  graphiql: false,
  context: (request) => ({ memberId: memberOf(request.headers.authorization) }),
});
await app.listen({ host: "127.0.0.1", port });
