"use strict";
const inner = (send) => {
  send();
};
exports.nested = function nested(send) {
  inner(send);
};
