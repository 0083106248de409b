import { connect } from 'node:net';

const answerTimeoutMs = 1_000;

/** Sends `request` to 127.0.0.1:port; true when the first bytes of the answer satisfy `accepts`. */
export const probeTcp = (
  port: number,
  request: string,
  accepts: (answer: string) => boolean,
): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(answerTimeoutMs, () => end(false));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    socket.once('connect', () => socket.write(request, 'latin1'));
    socket.once('data', (data) => end(accepts(data.toString('latin1'))));
  });
