import { connect } from 'node:net';

const answerTimeoutMs = 1_000;

/** Sends `request` to 127.0.0.1:port; resolves to true if the first bytes of the response satisfy `accepts`. */
export const probeTcp = (
  port: number,
  request: string,
  accepts: (answer: string) => boolean,
): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(answerTimeoutMs, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
    socket.once('connect', () => socket.write(request, 'latin1'));
    socket.once('data', (data) => finish(accepts(data.toString('latin1'))));
  });
