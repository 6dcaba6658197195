"use strict";
// Ask for each path that standard input names, one after the other, and print when it was asked for and when the whole
// answer was there (process.hrtime is CLOCK_MONOTONIC).
//   node client.js URL PROTOCOL CONNECTIONS [resumed]

const http = require("http");
const http2 = require("http2");
const https = require("https");
const net = require("net");
const readline = require("readline");
const tls = require("tls");

const [base, protocol, connections, resumed] = process.argv.slice(2);
const { hostname, port } = new URL(base);
const isSecure = base.startsWith("https");
const trust = { rejectUnauthorized: false, host: hostname, port };

function agent() {
  const options = { keepAlive: connections !== "new", maxCachedSessions: resumed ? 100 : 0 };
  return isSecure ? new https.Agent({ ...trust, ...options }) : new http.Agent(options);
}

// A socket that was connected before anybody asks for anything.
function connectAhead() {
  return new Promise((resolve) => {
    const socket = isSecure ? tls.connect(trust, () => resolve(socket)) : net.connect(port, hostname, () => resolve(socket));
  });
}

function finish(response, resolve) {
  response.on("end", resolve).resume();
}

async function http1() {
  const shared = agent();
  let ahead = connections === "ahead" ? await connectAhead() : null;
  return (path) => new Promise((resolve, reject) => {
    const options = { agent: shared, ...trust, path };
    if (ahead) {
      const socket = ahead;
      Object.assign(options, { agent: new (isSecure ? https : http).Agent({ keepAlive: true }), createConnection: () => socket });
      ahead = null;
    }
    (isSecure ? https : http).get(options, (response) => finish(response, resolve)).on("error", reject);
  });
}

async function overHttp2() {
  const connect = () => http2.connect(base, trust);
  let session = connections === "new" ? null : connect();
  if (connections === "ahead") await new Promise((resolve) => { session.once("remoteSettings", resolve); });
  return (path) => new Promise((resolve, reject) => {
    const used = session ?? connect();
    const stream = used.request({ ":path": path });
    stream.on("error", reject);
    finish(stream, () => {
      if (!session) used.close();
      resolve();
    });
  });
}

async function main() {
  const get = await (protocol === "http2" ? overHttp2() : http1());
  console.log("ready");
  for await (const path of readline.createInterface({ input: process.stdin })) {
    const t0 = process.hrtime.bigint();
    await get(path);
    console.log(JSON.stringify({ path, pid: process.pid, t0: Number(t0), t3: Number(process.hrtime.bigint()) }));
  }
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
