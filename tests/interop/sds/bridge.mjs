// One party of a group, played by @waku/sds: requests come as JSON lines on stdin, each is answered by one JSON line.
//
//   {"op": "open", "group": "ops", "me": "carol", "now_ms": 1700000000000, "options": {…MessageChannelOptions}}
//   {"op": "time", "now_ms": …}                  Date.now() from now on: the party lives in virtual time
//   {"op": "send", "content": base64}            → out: [message]
//   {"op": "receive", "message": base64}         takes what came over the network
//   {"op": "resend"}                             → out: what nobody acknowledged
//   {"op": "sync"}                               → out: [message], or none if there is nothing to say
//   {"op": "sweep"}                              delivers what can be delivered → out: repairs that are due
//   {"op": "state"}                              → history (ids in order), unacknowledged, waiting
//   {"op": "decode", "message": base64}          → fields
//   {"op": "encode", "fields": {…}}              → message
//   {"op": "bloom", "ids": […]}                  → bytes of a filter that holds these
//   {"op": "lookup", "filter": base64, "ids": […]} → which of these it holds
//   {"op": "bench", "messages": n, "bytes": size, "sync": true} → seconds for n messages from one party to another
//
// Every answer has "out" (messages to be carried to the others, base64) and "events" ([name, ids]).

import { createInterface } from "node:readline";
import { performance } from "node:perf_hooks";
import { ContentMessage, EphemeralMessage, Message, MessageChannel, SyncMessage } from "@waku/sds";

const realNow = Date.now;
let channel;
let events = [];
let out = [];

const EVENTS = {
  "sds:in:message-delivered": "delivered",
  "sds:out:message-acknowledged": "acknowledged",
  "sds:out:message-possibly-acknowledged": "possibly_acknowledged",
  "sds:in:message-irretrievably-lost": "lost",
  "sds:repair:request-sent": "repair_requested",
  "sds:repair:request-received": "repair_request_received",
  "sds:repair:response-sent": "repaired",
  "sds:error-task": "error",
};

function idsOf(detail) {
  if (typeof detail === "string") return [detail];
  if (Array.isArray(detail)) return detail.map((entry) => entry.messageId);
  if (detail?.error) return [String(detail.error)];
  return detail.messageIds ?? [detail.messageId];
}

const toBase64 = (bytes) => Buffer.from(bytes).toString("base64");
const fromBase64 = (text) => new Uint8Array(Buffer.from(text, "base64"));

function open({ group, me, now_ms, options }) {
  if (now_ms !== undefined) setTime(now_ms);
  const party = new MessageChannel(group, me, options ?? {});
  for (const [type, name] of Object.entries(EVENTS)) {
    party.addEventListener(type, (event) => events.push([name, idsOf(event.detail)]));
  }
  return party;
}

function setTime(now_ms) {
  Date.now = () => now_ms;
}

function carry(message) {
  out.push(toBase64(message.encode()));
  return Promise.resolve({ success: true });
}

function decode(bytes) {
  const message = Message.decode(bytes);
  if (message === undefined) return null;
  const entry = (one) => ({
    message_id: one.messageId,
    retrieval_hint: one.retrievalHint === undefined ? null : toBase64(one.retrievalHint),
    sender_id: one.senderId ?? null,
  });
  return {
    kind: message.constructor.name,
    sender_id: message.senderId,
    message_id: message.messageId,
    channel_id: message.channelId,
    lamport_timestamp: message.lamportTimestamp === undefined ? null : String(message.lamportTimestamp),
    causal_history: message.causalHistory.map(entry),
    bloom_filter: message.bloomFilter === undefined ? null : toBase64(message.bloomFilter),
    repair_request: message.repairRequest.map(entry),
    content: message.content === undefined ? null : toBase64(message.content),
  };
}

function encode(fields) {
  const entry = (one) => ({
    messageId: one.message_id,
    retrievalHint: one.retrieval_hint === null ? undefined : fromBase64(one.retrieval_hint),
    senderId: one.sender_id ?? undefined,
  });
  const optional = (text) => (text === null ? undefined : fromBase64(text));
  const timestamp = fields.lamport_timestamp === null ? undefined : BigInt(fields.lamport_timestamp);
  const kind = { ContentMessage, EphemeralMessage, SyncMessage }[fields.kind];
  return new kind(
    fields.message_id,
    fields.channel_id,
    fields.sender_id,
    fields.causal_history.map(entry),
    timestamp,
    optional(fields.bloom_filter),
    optional(fields.content),
    fields.repair_request.map(entry),
  ).encode();
}

// From one party to another over the wire; with "reply", the other answers every k-th message with a sync message, so
// that the sender's buffer of unacknowledged messages stays as short as it would in a conversation.
async function bench({ messages, bytes, reply }) {
  Date.now = realNow;
  const sender = new MessageChannel("bench", "alice", {});
  const receiver = new MessageChannel("bench", "bob", {});
  let delivered = 0;
  let wire = 0;
  receiver.addEventListener("sds:in:message-delivered", () => (delivered += 1));
  const began = performance.now();
  for (let number = 0; number < messages; number += 1) {
    const content = new Uint8Array(bytes);
    new DataView(content.buffer).setUint32(0, number);
    let encoded;
    sender.pushOutgoingMessage(content, async (message) => {
      encoded = message.encode();
      return { success: true };
    });
    await sender.processTasks();
    wire += encoded.length;
    receiver.pushIncomingMessage(Message.decode(encoded), undefined);
    await receiver.processTasks();
    if (reply && number % reply === reply - 1) {
      let answer;
      await receiver.pushOutgoingSyncMessage(async (message) => {
        answer = message.encode();
        return true;
      });
      sender.pushIncomingMessage(Message.decode(answer), undefined);
      await sender.processTasks();
    }
  }
  return { seconds: (performance.now() - began) / 1000, delivered, wire_bytes: wire };
}

const handlers = {
  open: (request) => {
    channel = open(request);
  },
  time: ({ now_ms }) => setTime(now_ms),
  send: async ({ content }) => {
    channel.pushOutgoingMessage(fromBase64(content), carry);
    await channel.processTasks();
  },
  receive: async ({ message }) => {
    const decoded = Message.decode(fromBase64(message));
    if (decoded === undefined) return { malformed: true };
    channel.pushIncomingMessage(decoded, undefined);
    await channel.processTasks();
  },
  resend: () => {
    for (const message of channel.sweepOutgoingBuffer().unacknowledged) carry(message);
    for (const message of channel.sweepOutgoingBuffer().possiblyAcknowledged) carry(message);
  },
  sync: () => channel.pushOutgoingSyncMessage(carry).then(() => undefined),
  sweep: async () => {
    channel.sweepIncomingBuffer();
    await channel.sweepRepairIncomingBuffer(carry);
  },
  state: () => ({
    history: channel.localHistory.items.map((message) => message.messageId),
    contents: channel.localHistory.items.map((message) => toBase64(message.content)),
    unacknowledged: channel.outgoingBuffer.map((message) => message.messageId),
    waiting: channel.incomingBuffer.map((message) => message.messageId),
  }),
  decode: ({ message }) => ({ fields: decode(fromBase64(message)) }),
  encode: ({ fields }) => ({ message: toBase64(encode(fields)) }),
  bloom: ({ ids }) => {
    const { filter } = new MessageChannel("bloom", "nobody", {});
    for (const id of ids) filter.insert(id);
    return { filter: toBase64(filter.toBytes()) };
  },
  lookup: ({ filter: bytes, ids }) => {
    const { filter } = new MessageChannel("bloom", "nobody", {});
    const view = fromBase64(bytes);
    const read = filter.constructor.fromBytes(view, filter.options);
    return { found: ids.filter((id) => read.lookup(id)) };
  },
  bench,
};

for await (const line of createInterface({ input: process.stdin })) {
  events = [];
  out = [];
  let answer;
  try {
    const request = JSON.parse(line);
    answer = (await handlers[request.op](request)) ?? {};
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify({ ...answer, out, events })}\n`);
}
