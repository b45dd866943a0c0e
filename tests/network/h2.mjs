// A gRPC service over HTTP/2 and TLS that repeats each message: `h2.mjs PORT CHAIN_AND_KEY`.
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";

const pem = readFileSync(process.argv[3]);
const server = createSecureServer({ cert: pem, key: pem });
server.on("stream", (stream) => {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.on("data", (message) => stream.write(message));
  stream.on("end", () => stream.end());
});
server.listen(Number(process.argv[2]), () => console.log("ready"));
