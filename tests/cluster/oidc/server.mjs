// A real OAuth 2.0 server (npm `oidc-provider`) for tests/cluster/oidc.rs: single-use refresh tokens, rotated on every refresh.
//
//   node server.mjs FOLDER        FOLDER holds the node_modules of package-lock.json
//
// It prints one line of JSON with its address, its clients and a first refresh token of each, and ends when its standard input does, so
// that it cannot outlive the test. Beside the routes of oidc-provider: GET /_test/log, what came to the token endpoint.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

// Whoever started this reads one line of standard output and then no more: what the library says goes elsewhere.
console.log = console.error;
console.info = console.error;

const library = resolve(process.argv[2], 'node_modules/oidc-provider/lib/index.js');
const { Provider, errors } = await import(pathToFileURL(library));

const ACCESS_TOKEN_SECONDS = 9;
const SCOPE = 'openid offline_access';
// Characters that Basic authentication carries only if both sides encode them first (RFC 6749 section 2.3.1).
const CLIENT = { client_id: 'ci+client:1', client_secret: 'a b+c%d:e/f=g&h' };

// A user for the grant of a password, which the library leaves to whoever runs it.
const USER = { username: 'ci', password: 'a b+c%d' };

// Clients that sign: by the keys of RFC 7515, whose private halves the tests have.
const SIGNERS = { rsa: 'rfc7515-a2.pkcs8.pem', ec: 'rfc7515-a3.pkcs8.pem' };
const signer = ([client_id, file]) => {
  const pem = readFileSync(new URL(`../../oauth2/keys/${file}`, import.meta.url));
  const jwk = createPublicKey(pem).export({ format: 'jwk' });
  return { client_id, token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ ...jwk, kid: '1', use: 'sig' }] } };
};

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(url, {
  clients: [
    { ...CLIENT, token_endpoint_auth_method: 'client_secret_basic' },
    ...Object.entries(SIGNERS).map(signer),
  ].map((client) => ({ ...client, grant_types: ['refresh_token', 'client_credentials', 'password'], response_types: [], redirect_uris: [] })),
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: ACCESS_TOKEN_SECONDS, ClientCredentials: 60, IdToken: 60, Grant: 3600, RefreshToken: 3600 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    // The tests ask as one client about the tokens of another.
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
  },
});

// RFC 6749 section 4.3. What it gives is the library's own: a refresh token of a grant, rotated and revoked as any other.
async function password(ctx) {
  const { username, password: given } = ctx.oidc.params;
  if (username !== USER.username || given !== USER.password) {
    throw new errors.InvalidGrant('the user or the password is wrong');
  }
  const { client } = ctx.oidc;
  const { grantId, token } = await mint(client.clientId);
  const access = new provider.AccessToken({ accountId: 'ci', client, grantId, gty: 'password', scope: SCOPE });
  ctx.body = {
    access_token: await access.save(), token_type: 'Bearer', expires_in: access.expiration, scope: SCOPE, refresh_token: token,
  };
}
provider.registerGrantType('password', password, ['username', 'password']);

const log = [];
provider.use(async (ctx, next) => {
  if (ctx.path === '/_test/log') {
    ctx.body = log;
    return;
  }
  await next();
  if (ctx.oidc?.route === 'token' && ctx.oidc.params?.grant_type === 'refresh_token') {
    const { access_token, refresh_token } = ctx.body ?? {};
    log.push({ presented: ctx.oidc.params?.refresh_token, status: ctx.status, access_token, refresh_token });
  }
});
server.on('request', provider.callback());

/** A first refresh token, as a login in a browser would give it, and its grant. */
async function mint(id) {
  const client = await provider.Client.find(id);
  const grant = new provider.Grant({ accountId: 'ci', clientId: client.clientId });
  grant.addOIDCScope(SCOPE);
  const grantId = await grant.save();
  const token = new provider.RefreshToken({
    accountId: 'ci', client, grantId, gty: 'authorization_code', scope: SCOPE, authTime: Math.floor(Date.now() / 1000),
  });
  return { grantId, token: await token.save() };
}

const signers = await Promise.all(
  Object.keys(SIGNERS).map(async (client_id) => ({ client_id, refresh_token: (await mint(client_id)).token })),
);
const { token: refresh_token } = await mint(CLIENT.client_id);
process.stdout.write(`${JSON.stringify({ url, ...CLIENT, refresh_token, user: USER, signers })}\n`);

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
