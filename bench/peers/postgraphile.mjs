// PostGraphile over the views of views.sql, on Node's own HTTP server; the token is checked once a
// request and the member's id reaches the plan through the context, so that no transaction is
// opened for settings.
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { context } from "postgraphile/grafast";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { extendSchema, gql } from "postgraphile/utils";
import { database, memberOf, port } from "./shared.mjs";

const me = extendSchema((build) => {
  const members = build.input.pgRegistry.pgResources.member;
  return {
    typeDefs: gql`
      extend type Query {
        me: Member
      }
    `,
    objects: {
      Query: { plans: { me: () => members.get({ id: context().get("memberId") }) } },
    },
  };
});

const { host, port: socket, user, database: name, max } = database;
const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  plugins: [me],
  pgServices: [
    makePgService({
      connectionString: `postgresql://${user}@/${name}?host=${encodeURIComponent(host)}&port=${socket}`,
      schemas: ["peer"],
      pubsub: false,
      poolConfig: { max },
    }),
  ],
  schema: { defaultBehavior: "-mutation -insert -update -delete" },
  grafast: {
    explain: false,
    context: (request) => ({ memberId: memberOf(request.node.req.headers.authorization) }),
  },
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false, websockets: false },
});

const server = createServer();
await instance.createServ(grafserv).addTo(server);
server.listen(port, "127.0.0.1");
