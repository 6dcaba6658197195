// Make 200 calls at once over one HTTP/2 connection in clear text, of which every tenth is slow, and print what both ends
// saw by their own clocks: {"asked": {STREAM: NS}, "slept": {STREAM: NS}, "heads": {STREAM: [PATH, STATUS]}}. What is
// planted is a secret.
const http2 = require('http2');

const CALLS = 200;
const SLOW_MS = 400;
const SECRETS = {
  authorization: 'Bearer planted-authorization', cookie: 'session=planted-cookie', 'x-api-key': 'planted-key',
  [http2.sensitiveHeaders]: ['authorization'],
};
const asked = {}, slept = {}, heads = {};
const statusOf = (path) => [200, 404, 503][Number(path.match(/[0-9]*$/)[0]) % 3];
const now = () => process.hrtime.bigint();

const server = http2.createServer();
server.on('stream', (stream, headers) => {
  const began = now();
  setTimeout(() => {
    slept[stream.id] = Number(now() - began);
    stream.respond({':status': statusOf(headers[':path'].split('?')[0]), 'set-cookie': 'planted-set-cookie'});
    stream.write('a');
    stream.end('ll ok');
  }, headers[':path'].startsWith('/slow') ? SLOW_MS : 0);
});
server.listen(0, '127.0.0.1', () => {
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`);
  client.once('remoteSettings', () => {
    for (let number = 0; number < CALLS; number++) {
      const began = now();
      const path = number % 10 ? '/fast' : `/slow/${number}?token=planted-query`;
      const stream = client.request({':path': path, ...SECRETS});
      stream.on('response', (answer) => { heads[stream.id] = [path.split('?')[0], answer[':status']]; });
      stream.resume().on('end', () => {
        asked[stream.id] = Number(now() - began);
        if (Object.keys(asked).length === CALLS) {
          client.close();
          server.close();
          console.log(JSON.stringify({asked, slept, heads}));
        }
      });
    }
  });
});
