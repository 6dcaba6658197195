"use strict";
// Send a request from each of many situations, and note what V8 itself says of the stack on the line that sends.
//   node main.cjs NOTES PORT      "begin" on standard input begins; prints "noted" at the end, and ends with the input

const { EventEmitter } = require("events");
const fs = require("fs");
const http = require("http");
const net = require("net");
const path = require("path");
const { nested } = require("./nested.cjs");

const [notes, port] = process.argv.slice(2);
const log = fs.openSync(notes, "a");
const WRITES = ["writeBuffer", "writev", "writeUtf8String", "writeAsciiString", "writeLatin1String", "writeUcs2String"];
Error.stackTraceLimit = Infinity;

let situation = "", request = "", role = "client", count = 0;

// The frames that are on the stack (those of awaiting functions are not), without functions that V8 has compiled in.
Error.prepareStackTrace = (_, sites) =>
  sites.filter((site) => !site.isAsync() && !site.isPromiseAll() && (site.getFileName() || site.isEval()))
    .map((site) => [site.getFunctionName(), site.getFileName() ?? null, site.getLineNumber(), site.isEval()]);

function note(frames) {
  if (request) fs.writeSync(log, JSON.stringify({ situation, request, role, frames }) + "\n");
  request = "";
}

// What is hooked is where JavaScript meets libuv: a system call away from the kernel.
function hook(socket) {
  const { _handle: handle } = socket;
  for (const name of WRITES) {
    const original = handle[name];
    if (original) handle[name] = function noted(...all) { note(new Error().stack); return original.apply(this, all); };
  }
  return socket;
}

const socket = new net.Socket();
socket.setNoDelay(true);

function send() {
  request = `N${String(count).padStart(7, "0")}`; // a method of HTTP/1: of other bytes a capture has nothing
  socket.write(`${request} / HTTP/1.1\r\n\r\n`);
}

const answered = () => new Promise((resolve) => socket.once("data", resolve));

function method() { send(); }
class Shop {
  #secret() { send(); }
  field = () => send();
  constructor(now) { if (now) send(); }
  checkout() { send(); }
  static open() { send(); }
  get total() { send(); return 1; }
  set total(_) { send(); }
  secret() { this.#secret(); }
  toString() { send(); return ""; }
  toJSON() { send(); return {}; }
  *items() { yield 1; send(); }
  async pay() { send(); await null; }
  async refund() { await null; send(); }
  async *stream() { await null; send(); yield 1; }
  [Symbol.iterator]() { send(); return [][Symbol.iterator](); }
  ["comp" + "uted"]() { send(); }
}
class Branch extends Shop { constructor() { super(true); } }
const closure = (depth) => { const inner = () => { send(); return depth; }; return inner; };
const recursive = (depth) => { if (depth) recursive(depth - 1); else send(); };
function many() {
  const names = Array.from({ length: 90 }, (_, i) => `local${i}`);
  const text = `${names.map((name, i) => `let ${name} = ${i};`).join("\n")}\n` +
    `return function captures() {\n send();\n return [${names}]; }`;
  return new Function("send", text)(send);
}
const schön = () => send(); // two bytes a character: 例
function hot(times) { // V8 optimizes it while it runs, and inlines what it calls
  let sum = 0;
  for (let i = 0; i < times; i++) sum += add(i);
  return sum;
}
const add = (i) => i % 7;
function optimized(now) {
  let sum = 0;
  for (let i = 0; i < 100; i++) sum += add(i);
  if (now) send();
  return sum;
}
const emitter = new EventEmitter();
emitter.on("order", function onOrder() { send(); });
emitter.once("order once", () => send());

const situations = {
  "a function": () => method(),
  "a method": () => new Shop().checkout(),
  "a static method": () => Shop.open(),
  "a private method": () => new Shop().secret(),
  "a field": () => new Shop().field(),
  "a getter": () => new Shop().total,
  "a setter": () => { new Shop().total = 1; },
  "a constructor": () => new Shop(true),
  "a derived constructor": () => new Branch(),
  "a closure": () => closure(1)(),
  "a recursion": () => recursive(20),
  "a computed method": () => new Shop().computed(),
  "an implicit conversion": () => `${new Shop()}`,
  "toJSON": () => JSON.stringify(new Shop()),
  "an iterator": () => [...new Shop()],
  "a generator": () => [...new Shop().items()],
  "an async function": () => new Shop().pay(),
  "an async function that went on": () => new Shop().refund(),
  "an async generator": async () => { for await (const _ of new Shop().stream()); },
  "a promise": () => Promise.resolve().then(function settled() { send(); }),
  "a timer": () => setTimeout(function later() { send(); }, 5),
  "an interval": () => { const timer = setInterval(() => { clearInterval(timer); send(); }, 5); },
  "an immediate": () => setImmediate(() => send()),
  "a tick": () => process.nextTick(() => send()),
  "a microtask": () => queueMicrotask(() => send()),
  "an event": () => emitter.emit("order"),
  "an event once": () => emitter.emit("order once"),
  "a callback of map": () => [1].map((one) => send(one)),
  "a callback of sort": () => [2, 1].sort(function compare() { if (!request) send(); return 0; }),
  "a bound function": () => method.bind(null)(),
  "Reflect.apply": () => Reflect.apply(method, null, []),
  "a proxy": () => new Proxy(method, {})(),
  "a tagged template": () => ((strings) => send(strings))`text`,
  "eval": () => eval("send()"),
  "a function in eval": () => eval("(function evaluated() {\n\n send(); })")(),
  "new Function": () => new Function("send", "\nsend();")(send),
  "many captured names": () => many()(),
  "a name of two bytes": () => schön(),
  "an anonymous function": () => (function () { send(); })(),
  "nested modules": () => nested(send),
  "another kind of module": () => esm.nested(send),
  "code that V8 has optimized": () => { for (let i = 0; i < 200000; i++) optimized(false); optimized(true); },
  "a function that calls an optimized one": () => { hot(3000000); send(); },
  "a file": () => fs.stat(__filename, function stated() { send(); }),
  "a look-up": () => require("dns").lookup("127.0.0.1", () => send()),
};

async function requests() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const get = () => new Promise((resolve) => {
    const sent = http.request({ host: "127.0.0.1", port, agent, path: `/${String(count).padStart(3, "0")}` }, (response) => response.resume().on("end", resolve));
    sent.once("socket", (used) => { if (used.connecting) used.once("connect", () => hook(used)); });
    situation = `http.request ${count}`;
    request = `GET /${String(count++).padStart(3, "0")}`;
    sent.end();
  });
  await get();
  await get();
  await get();
  agent.destroy();
}

async function serve() {
  const server = http.createServer(function handler(incoming, response) {
    [situation, role, request] = ["an http server", "server", `GET ${incoming.url}`];
    response.end("served");
  });
  server.on("connection", hook);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = net.connect(server.address().port, "127.0.0.1");
  client.write(`GET /${String(count++).padStart(3, "0")} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  await new Promise((resolve) => client.on("data", resolve));
  client.destroy();
  server.close();
}

let esm;
async function all() {
  esm = await import(path.join(__dirname, "nested.mjs"));
  for (const [name, run] of Object.entries(situations)) {
    [situation, role] = [name, "client"];
    const answer = answered();
    run();
    await answer;
    count++;
  }
  await requests();
  await serve();
  process.stdout.write("noted\n");
}

// The first line of the input asks for a call before all others, the second one begins.
process.stdin.once("data", () => {
  socket.connect(Number(port), "127.0.0.1", () => {
    hook(socket);
    answered().then(() => process.stdin.once("data", all));
    socket.write("connects");
  });
});
process.stdin.on("end", () => process.exit());
