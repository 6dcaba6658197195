"use strict";
// Fetch each path that standard input names, one after the other, and print when it was there: node fetch_client.js URL

const readline = require("readline");

const [base] = process.argv.slice(2);

async function main() {
  console.log("ready");
  for await (const path of readline.createInterface({ input: process.stdin })) {
    const t0 = process.hrtime.bigint();
    await (await fetch(base + path)).text();
    console.log(JSON.stringify({ path, pid: process.pid, t0: Number(t0), t3: Number(process.hrtime.bigint()) }));
  }
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
