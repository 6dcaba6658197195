"use strict";
// Make calls to a server in the same process, in clear text: so many requests at once, again and again. Of HTTP/2 they
// share a connection, of HTTP/1.1 each has a connection that is kept.
//   node bursts.js http1|http2 AT_ONCE BURSTS

const http = require("http");
const http2 = require("http2");

const [protocol, atOnce, bursts] = process.argv.slice(2);
const HEADERS = { accept: "*/*", "user-agent": "bursts", "x-request-id": "1" };

function answer(request, response) {
  response.setHeader("content-type", "text/plain");
  response.end("all of it");
}

function asker(port) {
  if (protocol === "http1") {
    const agent = new http.Agent({ keepAlive: true });
    return (path, resolve) => {
      http.get({ agent, port, path, headers: HEADERS }, (response) => response.on("end", resolve).resume());
    };
  }
  const session = http2.connect(`http://127.0.0.1:${port}`);
  return (path, resolve) => session.request({ ":path": path, ...HEADERS }).on("end", resolve).resume();
}

const server = (protocol === "http1" ? http : http2).createServer(answer);
server.listen(0, "127.0.0.1", async () => {
  const ask = asker(server.address().port);
  for (let burst = 0; burst < Number(bursts); burst++) {
    const calls = Array.from({ length: Number(atOnce) }, (_, number) => `/items/${number}`);
    await Promise.all(calls.map((path) => new Promise((resolve) => ask(path, resolve))));
  }
  process.exit(0);
});
