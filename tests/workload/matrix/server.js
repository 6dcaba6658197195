"use strict";
// Answer requests by the last part of their path: `fast`; `first`, whose first byte comes late; `body`, whose first byte
// comes at once and the rest late. HTTP/1.1, HTTP/2 and gRPC in the clear, and all in TLS 1.2 and in TLS 1.3.
//   node server.js MILLISECONDS KEY
// prints the ports as JSON, and ends when its standard input does.

const fs = require("fs");
const http = require("http");
const http2 = require("http2");

const [late, key] = process.argv.slice(2);
const LATE_NS = BigInt(late) * 1_000_000n;

function atLeast(begun, action) { // a timer of Node's may be a millisecond early
  const left = LATE_NS - (process.hrtime.bigint() - begun);
  if (left <= 0n) action();
  else setTimeout(() => atLeast(begun, action), Number(left / 1_000_000n) + 1);
}

function message(text) { // of gRPC: whether it is compressed, and its size, precede it
  return Buffer.concat([Buffer.from([0, 0, 0, 0, text.length]), Buffer.from(text)]);
}

function answerGrpc(request, response) {
  const begun = process.hrtime.bigint();
  response.setHeader("content-type", "application/grpc");
  response.addTrailers({ "grpc-status": "0" });
  const kind = request.url.split("/").pop();
  if (kind === "fast") response.end(message("all of it"));
  if (kind === "first") atLeast(begun, () => response.end(message("all of it")));
  if (kind === "body") {
    const whole = message("all of it");
    response.write(whole.subarray(0, 7));
    atLeast(begun, () => response.end(whole.subarray(7)));
  }
}

function answer(request, response) {
  if (request.headers["content-type"] === "application/grpc") {
    answerGrpc(request, response);
    return;
  }
  const kind = request.url.split("/").pop();
  const begun = process.hrtime.bigint();
  if (kind === "fast") response.end("all of it");
  if (kind === "first") atLeast(begun, () => response.end("all of it"));
  if (kind === "body") {
    response.write("a part, ");
    atLeast(begun, () => response.end("the rest"));
  }
}

function secure(version) {
  const pem = fs.readFileSync(key);
  return http2.createSecureServer(
    { key: pem, cert: pem, minVersion: version, maxVersion: version, allowHTTP1: true }, answer);
}

const servers = {
  http1: http.createServer(answer),
  http2: http2.createServer(answer),
  tls12: secure("TLSv1.2"),
  tls13: secure("TLSv1.3"),
};
const ports = {};
for (const [name, server] of Object.entries(servers)) {
  server.keepAliveTimeout = 600_000;
  server.listen(0, "127.0.0.1", () => {
    ports[name] = server.address().port;
    if (Object.keys(ports).length === Object.keys(servers).length) console.log(JSON.stringify({ pid: process.pid, ports }));
  });
}
process.stdin.on("end", () => process.exit(0)).resume();
