// Sign in with the mutation below, then put the accessToken under "Headers":
// {"Authorization": "Bearer …"}. Subscriptions send the same header in connection_init.
"use strict";

const first = `# Linli 邻里
#
# 1. Run SignIn (▶). 2. Copy accessToken into Headers: {"Authorization": "Bearer …"}. 3. Run Home.

mutation SignIn {
  loginWithWechat(input: { code: "dev-sim-1-1" }) {
    ... on MemberSession {
      session { accessToken }
      member { nickname }
    }
    ... on UserError { code message }
  }
}

query Home {
  me {
    nickname
    tier { name benefits { name } }
    points { balance pending debt expiringSoon }
    coupons(first: 10) { nodes { id } }
    badges { name }
  }
}
`;

const socketAddress = location.href.replace(/^http/, "ws").replace(/\?.*$/, "");
let headers = {};

const http = GraphiQL.createFetcher({ url: location.pathname });

function socket() {
  return graphqlWs.createClient({
    url: socketAddress,
    connectionParams: () => ({ authorization: headers.Authorization ?? headers.authorization }),
  });
}

// A client per subscription, so that each one signs in with the headers of its moment.
const fetcher = (parameters, options) => {
  headers = options?.headers ?? {};
  const text = parameters.query ?? "";
  if (!/^\s*subscription\b/m.test(text)) return http(parameters, options);
  return socket().iterate(parameters);
};

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: first, shouldPersistHeaders: true }),
);
