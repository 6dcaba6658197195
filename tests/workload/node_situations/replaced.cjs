"use strict";
// Send each request from a function of its own, and replace that by others of the same size before the answer is read:
// V8 collects what is not used any more, and moves the rest.
//   node replaced.cjs NOTES PORT COUNT      as main.cjs; with --expose-gc each collection moves what it can; with
//   $AS_FILES the functions are those of files, else of eval

const fs = require("fs");
const net = require("net");
const vm = require("vm");

const [notes, port, count] = process.argv.slice(2);
const log = fs.openSync(notes, "a");
const socket = new net.Socket();
socket.setNoDelay(true);
const kept = [];
let number = 0;

const text = (name) => `(function ${name}(send) {\n send();\n})`;
const named = process.env.AS_FILES
  ? (name) => vm.runInThisContext(text(name), { filename: `/srv/app/${name}.js` }) // as a module that is loaded again
  : (name) => eval(text(name));
const digits = () => String(number).padStart(8, "0");
const answered = () => new Promise((resolve) => socket.once("data", resolve));

function collect() {
  if (globalThis.gc) return globalThis.gc();
  for (let i = 0; i < 20; i++) kept[-1] = new Array(100000).fill(i);
}

function replace() {
  collect();
  for (let i = 0; i < 10; i++) {
    const other = named(`o${digits()}`);
    other(() => {});
    if (i % 3 == 0) kept.push(other);
  }
  collect();
}

function round() {
  const request = `N${digits().slice(1)}`, name = `f${digits()}`; // a method of HTTP/1: of other bytes a capture has nothing
  const own = named(name);
  own(() => socket.write(`${request} / HTTP/1.1\r\n\r\n`));
  fs.writeSync(log, JSON.stringify({ situation: name, request, role: "client", frames: [] }) + "\n");
  if (number % 2) kept.push(own);
  if (kept.length > 100) kept.splice(0, 50);
}

async function all() {
  for (; number < Number(count); number++) {
    const answer = answered();
    round();
    replace();
    await answer;
  }
  process.stdout.write("noted\n");
}

process.stdin.once("data", () => {
  socket.connect(Number(port), "127.0.0.1", () => {
    answered().then(() => process.stdin.once("data", all));
    socket.write("connects");
  });
});
process.stdin.on("end", () => process.exit());
