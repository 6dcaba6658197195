"use strict";
// Ask over TLS 1.2 and 1.3 on kept connections, several at a time; print what was asked, as JSON.
//   node tls_heads.js KEY SECRET
const fs = require("fs");
const https = require("https");

const [key, secret] = process.argv.slice(2);
const pem = fs.readFileSync(key);
const [SLOW_MS, CONNECTIONS, CALLS] = [200, 4, 6];
const STATUSES = [200, 404, 503, 201];

function answer(request, response) {
  const number = Number(request.url.split("?")[0].split("/").pop());
  const headers = { "x-request-id": request.headers["x-request-id"], "set-cookie": secret };
  const end = () => response.writeHead(STATUSES[number % STATUSES.length], headers).end(secret);
  request.resume().on("end", () => setTimeout(end, number % 2 ? SLOW_MS : 0));
}

function ask(agent, port, path, id) {
  return new Promise((done, failed) => {
    const t0 = process.hrtime.bigint();
    const headers = { authorization: secret, "x-request-id": id, "content-length": secret.length };
    const options = { host: "127.0.0.1", port, agent, method: "POST", path: `${path}?token=${secret}`, headers };
    const request = https.request(options, (response) => {
      const own = response.socket.localPort;
      response.resume().on("end", () => {
        done({ port: own, path, id, status: response.statusCode, t0: Number(t0), t3: Number(process.hrtime.bigint()) });
      });
    });
    request.on("error", failed).end(secret);
  });
}

async function askAll(version) {
  const server = https.createServer({ key: pem, cert: pem, minVersion: version, maxVersion: version }, answer);
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const own = async (number) => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
    const calls = [];
    for (let call = 0; call < CALLS; call++) {
      const path = `/${version}-${number}/call/${call}`;
      calls.push(await ask(agent, server.address().port, path, `${version}-${number}-${call}`));
    }
    agent.destroy();
    return calls;
  };
  const calls = await Promise.all([...Array(CONNECTIONS).keys()].map(own));
  server.close();
  return calls.flat();
}

Promise.all(["TLSv1.2", "TLSv1.3"].map(askAll)).then((calls) => console.log(JSON.stringify(calls.flat())));
