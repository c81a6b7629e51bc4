// A certified OIDC provider for tests: node server.mjs PORT CERTIFICATE KEY GROUPS
// Its signing key is made at each start; whoever logs in is who they say and is in GROUPS (comma-separated).
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider from "oidc-provider";

const [port, certificate, key, groups] = process.argv.slice(2);
const issuer = `https://127.0.0.1:${port}`;
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const provider = new Provider(issuer, {
  clients: ["cluster", "other"].map((id) => ({
    client_id: id,
    token_endpoint_auth_method: "none",
    redirect_uris: ["https://client.example.com/back"],
    grant_types: ["authorization_code"],
    response_types: ["code"],
  })),
  claims: { openid: ["sub", "groups"] },
  conformIdTokenClaims: false,
  cookies: { keys: [randomUUID()] },
  features: { devInteractions: { enabled: true } },
  findAccount: (context, sub) => ({ accountId: sub, claims: () => ({ sub, groups: groups.split(",") }) }),
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" }] },
  ttl: { IdToken: 3600, AccessToken: 60, Interaction: 600, Session: 600, Grant: 600 },
});
createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback()).listen(
  Number(port),
  "127.0.0.1",
  () => console.log("listening"),
);
