import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';

/** How the server answers every query for A records; for any other type it has no records. */
export type DnsBehaviour =
  | { kind: 'addresses'; addresses: readonly string[] }
  /** Over UDP a truncated answer without addresses; over TCP the addresses. */
  | { kind: 'truncated'; addresses: readonly string[] }
  | { kind: 'server_failure' }
  | { kind: 'no_such_name' }
  | { kind: 'silent' };

export interface DnsServer {
  /** `address:port` */
  address: string;
  setBehaviour(behaviour: DnsBehaviour): void;
  /** How many queries arrived over each transport. */
  queryCounts: { udp: number; tcp: number };
  stop(): Promise<void>;
}

const ttlSeconds = 300;
const headBytes = 12;
const typeA = 1;
const responseCodes = { addresses: 0, truncated: 0, server_failure: 2, no_such_name: 3 } as const;

/** Starts a name server on 127.0.0.1, over UDP and TCP, whose records have a TTL of five minutes. */
export async function startDnsServer(): Promise<DnsServer> {
  let behaviour: DnsBehaviour = { kind: 'addresses', addresses: [] };
  const queryCounts = { udp: 0, tcp: 0 };
  const udp = createSocket('udp4');
  udp.on('message', (query, { port, address }) => {
    queryCounts.udp++;
    const answer = createAnswer(query, behaviour, 'udp');
    if (answer !== undefined) udp.send(answer, port, address);
  });
  await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
  const { port } = udp.address();

  const connections = new Set<Socket>();
  const tcp = createServer((connection) => {
    connections.add(connection);
    connection.on('error', () => undefined);
    connection.on('data', (bytes) => {
      if (typeof bytes === 'string') return;
      queryCounts.tcp++;
      const answer = createAnswer(bytes.subarray(2), behaviour, 'tcp');
      if (answer !== undefined) connection.write(Buffer.concat([uint16(answer.length), answer]));
    });
  });
  await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${port}`,
    setBehaviour: (next) => {
      behaviour = next;
    },
    queryCounts,
    async stop() {
      for (const connection of connections) connection.destroy();
      tcp.close();
      udp.close();
    },
  };
}

/** RFC 1035, section 4.1. */
function createAnswer(query: Buffer, behaviour: DnsBehaviour, over: 'udp' | 'tcp'): Buffer | undefined {
  if (behaviour.kind === 'silent') return undefined;
  let end = headBytes;
  while (query[end] !== 0) end += (query[end] ?? 0) + 1;
  const type = query.readUInt16BE(end + 1);
  const askedName = query.subarray(headBytes, end + 5);
  const isTruncated = behaviour.kind === 'truncated' && over === 'udp';
  const addresses = 'addresses' in behaviour && type === typeA && !isTruncated ? behaviour.addresses : [];
  const flags = 0x8180 | (isTruncated ? 0x0200 : 0) | responseCodes[behaviour.kind];
  const counts = [uint16(1), uint16(addresses.length), uint16(0), uint16(0)];
  return Buffer.concat([
    query.subarray(0, 2),
    uint16(flags),
    ...counts,
    askedName,
    ...addresses.map(encodeRecord),
  ]);
}

const encodeRecord = (address: string): Buffer => {
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(ttlSeconds);
  const nameOfQuery = uint16(0xc000 | headBytes);
  const data = Buffer.from(address.split('.').map(Number));
  return Buffer.concat([nameOfQuery, uint16(typeA), uint16(1), ttl, uint16(data.length), data]);
};

const uint16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
};
