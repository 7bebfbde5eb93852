// OSC 1.0 packets: as much of it as the daemon speaks. https://opensoundcontrol.stanford.edu

const EPOCH_SECONDS = 2208988800; // 1970 in seconds since 1900

function padded(text) {
  const bytes = Buffer.from(`${text}\0`, "utf8");
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

function encodeArgument(value) {
  const bytes = Buffer.alloc(4);
  if (typeof value === "string") return ["s", padded(value)];
  if (typeof value === "boolean") value = value ? 1 : 0;
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new TypeError(`${value} cannot be sent: expected finite numbers, strings and booleans`);
  }
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) {
    bytes.writeInt32BE(value);
    return ["i", bytes];
  }
  bytes.writeFloatBE(value);
  return ["f", bytes];
}

/** The packet of one message. */
export function encode(address, ...values) {
  const parts = values.map(encodeArgument);
  const tags = padded(`,${parts.map(([tag]) => tag).join("")}`);
  return Buffer.concat([padded(address), tags, ...parts.map(([, bytes]) => bytes)]);
}

/** The packet of a bundle of packets that is due at a time of Date.now(). */
export function bundle(dueMs, ...packets) {
  const tag = Buffer.alloc(8);
  const seconds = dueMs / 1000 + EPOCH_SECONDS;
  tag.writeUInt32BE(Math.floor(seconds));
  tag.writeUInt32BE(Math.floor((seconds % 1) * 2 ** 32), 4);
  const sized = packets.flatMap((packet) => {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(packet.length);
    return [size, packet];
  });
  return Buffer.concat([padded("#bundle"), tag, ...sized]);
}

/** Address and arguments of a message's packet. */
export function decode(packet) {
  let at = 0;
  const text = () => {
    const end = packet.indexOf(0, at);
    if (end < 0) throw new RangeError("a text without an end");
    const found = packet.toString("utf8", at, end);
    at = end + 4 - (end % 4);
    return found;
  };
  const number = (read) => {
    const found = packet[read](at);
    at += 4;
    return found;
  };
  const address = text();
  const values = [...text().slice(1)].map((tag) => {
    if (tag === "s") return text();
    if (tag === "i") return number("readInt32BE");
    if (tag === "f") return number("readFloatBE");
    throw new RangeError(`an argument of type ${tag}`);
  });
  return [address, ...values];
}
