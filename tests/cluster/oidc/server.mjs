// A real OAuth 2.0 server (npm `oidc-provider`) for tests/cluster/oidc.rs: single-use refresh tokens, rotated on every refresh.
//
//   node server.mjs FOLDER        FOLDER holds the node_modules of package-lock.json
//
// It prints one line of JSON with its address, its client and a first refresh token, and ends when its standard input does, so
// that it cannot outlive the test. Beside the routes of oidc-provider: GET /_test/log, what came to the token endpoint.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

// Whoever started this reads one line of standard output and then no more: what the library says goes elsewhere.
console.log = console.error;
console.info = console.error;

const library = resolve(process.argv[2], 'node_modules/oidc-provider/lib/index.js');
const { Provider } = await import(pathToFileURL(library));

const ACCESS_TOKEN_SECONDS = 9;
const SCOPE = 'openid offline_access';
// Characters that Basic authentication carries only if both sides encode them first (RFC 6749 section 2.3.1).
const CLIENT = { client_id: 'ci+client:1', client_secret: 'a b+c%d:e/f=g&h' };

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(url, {
  clients: [{
    ...CLIENT,
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['refresh_token'],
    response_types: [],
    redirect_uris: [],
  }],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: ACCESS_TOKEN_SECONDS, IdToken: 60, Grant: 3600, RefreshToken: 3600 },
  features: { devInteractions: { enabled: false }, introspection: { enabled: true }, revocation: { enabled: true } },
});

const log = [];
provider.use(async (ctx, next) => {
  if (ctx.path === '/_test/log') {
    ctx.body = log;
    return;
  }
  await next();
  if (ctx.oidc?.route === 'token') {
    const { access_token, refresh_token } = ctx.body ?? {};
    log.push({ presented: ctx.oidc.params?.refresh_token, status: ctx.status, access_token, refresh_token });
  }
});
server.on('request', provider.callback());

/** The first refresh token, as a login in a browser would give it. */
async function mint() {
  const client = await provider.Client.find(CLIENT.client_id);
  const grant = new provider.Grant({ accountId: 'ci', clientId: client.clientId });
  grant.addOIDCScope(SCOPE);
  const grantId = await grant.save();
  const token = new provider.RefreshToken({
    accountId: 'ci', client, grantId, gty: 'authorization_code', scope: SCOPE, authTime: Math.floor(Date.now() / 1000),
  });
  return token.save();
}

process.stdout.write(`${JSON.stringify({ url, ...CLIENT, refresh_token: await mint() })}\n`);

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
