import { createRequire } from "node:module";
const { nested: required } = createRequire(import.meta.url)("./nested.cjs");

export function nested(send) {
  required(send);
}
