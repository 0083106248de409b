// The `ws` package on Node: Bun would replace it with its own sockets.
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
server.on('listening', () => {
  const { port } = server.address();
  process.send({ answer: { url: `http://127.0.0.1:${port}` } });
});
process.on('message', ({ text }) => {
  const bytes = Buffer.from(text);
  for (const client of server.clients) client.send(bytes, { binary: false });
  process.send({ answer: server.clients.size });
});
process.on('disconnect', () => process.exit(0));
