// A certified OpenID provider (oidc-provider) with its own pages, for the gate to send people to.
//
// Prints its issuer once it listens. The first line on standard input is JSON: `redirect_uri` of the gate, `accounts` (claims by the name
// that is typed in on the provider's page), `claims_in_id_token` for a provider that is less strict than OpenID Connect Core 5.4. Ends with
// its standard input.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const [certificate, key] = process.argv.slice(2).map((file) => readFileSync(file));
const issuer = () => `https://localhost:${server.address().port}`;
const server = createServer({ cert: certificate, key });
server.listen(0, '127.0.0.1', () => console.log(issuer()));

createInterface({ input: process.stdin })
  .once('line', (line) => {
    const { redirect_uri, accounts, claims_in_id_token } = JSON.parse(line);
    const provider = new Provider(issuer(), {
      clients: [{ client_id: 'channelgate', client_secret: 'a secret of the tests', redirect_uris: [redirect_uri] }],
      claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
      conformIdTokenClaims: !claims_in_id_token,
      cookies: { keys: ['keys of the tests'] },
      findAccount: (_context, name) => accounts[name] && {
        accountId: name,
        claims: () => ({ sub: name, ...accounts[name] }),
      },
      pkce: { required: () => true },
    });
    server.on('request', provider.callback());
    console.log('ready');
  })
  .on('close', () => process.exit(0));
