// Twenty calls at once, one engine: each submits a prompt of its own, waiting where the queue is
// full, and reads its reply as it comes.
//
//   node streams.js MODEL [N [N_TOKENS]]
import { Engine } from "../../bindings/node/index.js";

const [model, n = 20, nTokens = 32] = process.argv.slice(2);
if (!model) {
  console.error("usage: node streams.js MODEL [N [N_TOKENS]]");
  process.exit(2);
}
const maxTokens = Number(nTokens);
const engine = await Engine.open(model, {
  nStreams: 4,
  queueRequests: 2, // far less than calls: they wait in line
  ctxTokens: maxTokens + 64,
});

async function ride(number) {
  const stream = await engine.submit(`Rider ${number} says:`, { maxTokens });
  let said = "";
  for await (const piece of stream) said += piece;
  return `${number} done ${stream.usage.nReply} ${said}`;
}

const all = await Promise.all(Array.from({ length: Number(n) }, (_, i) => ride(i)));
for (const line of all) console.log(line);
const { nReplyTokens, nSteps, nRejectedBusy, replyTokensPerS } = engine.stats;
console.error(
  `${nReplyTokens} tokens in ${nSteps} steps; ${nRejectedBusy} times the queue was full; ` +
    `${replyTokensPerS.toFixed(1)} tok/s`,
);
engine.close();
