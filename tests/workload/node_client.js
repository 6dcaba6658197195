"use strict";
// Node's http with a keep-alive agent. Its own clock: t0 just before the request is written to the connected socket, t2
// just after the first bytes of the response were read; process.hrtime is CLOCK_MONOTONIC.
//   node node_client.js HOST PORT CONNECTIONS PATHS      with the log of its own clock in $CALLS

const fs = require("fs");
const http = require("http");

const PAUSE_MS = 20; // as in client.py
const [host, port, connections, paths] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(connections) });
const log = fs.openSync(process.env.CALLS, "a");
const comm = fs.readFileSync("/proc/self/comm", "utf8").trimEnd();

function write(socket, { path, t0 }, t2) {
  const row = {
    client: "node", pid: process.pid, tid: process.pid, comm, process: comm, path,
    local: socket.localAddress, local_port: socket.localPort,
    peer: socket.remoteAddress, peer_port: socket.remotePort,
    t0: Number(t0), t2: Number(t2), least_ns: Number(t2 - t0), most_ns: Number(t2 - t0),
  };
  fs.writeSync(log, JSON.stringify(row) + "\n");
}

// The calls under way, by socket. What is hooked is where JavaScript meets libuv: a system call away from the kernel.
const started = new Map();

function hook(socket) {
  const { _writeGeneric } = socket;
  socket._writeGeneric = function (...args) { // while it connects this only waits, and is called again
    const call = started.get(this);
    if (call && !this.connecting) call.t0 ??= process.hrtime.bigint();
    return _writeGeneric.apply(this, args);
  };
  const { _handle } = socket;
  const { onread } = _handle;
  _handle.onread = function (...args) {
    const t2 = process.hrtime.bigint();
    const call = started.get(socket);
    if (call) write(socket, call, t2);
    started.delete(socket);
    return onread.apply(this, args);
  };
}

function start(socket, path) {
  if (!Object.hasOwn(socket, "_writeGeneric")) hook(socket);
  started.set(socket, { path });
}

function get(path) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host, port, path, agent }, (response) => {
      response.on("end", resolve).resume();
    });
    request.on("error", reject).on("socket", (socket) => start(socket, path));
  });
}

async function work(waiting) {
  while (waiting.length > 0) {
    await get(waiting.shift());
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

const waiting = paths.split(",");
Promise.all(Array.from({ length: Number(connections) }, () => work(waiting)))
  .then(() => agent.destroy(), (error) => { console.error(error); process.exit(1); });
