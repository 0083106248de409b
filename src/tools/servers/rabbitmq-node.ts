import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const rabbitmqUser = 'uitgo';
const cookieBytes = 24;

export type RabbitmqNode = {
  readonly dir: string;
  readonly port: number;
  /** The port for Erlang distribution and command line tools. */
  readonly distPort: number;
  readonly password: string;
  readonly diskFreeMinBytes: number;
};

const home = (node: RabbitmqNode) => join(node.dir, 'home');

/** Writes the files that the node reads at its start. The cookie and the data of earlier runs are kept. */
export const writeNodeFiles = (node: RabbitmqNode): void => {
  mkdirSync(home(node), { recursive: true });
  const cookie = join(home(node), '.erlang.cookie');
  if (!existsSync(cookie)) writeFileSync(cookie, randomBytes(cookieBytes).toString('hex'));
  // Erlang refuses a cookie file that others can read.
  chmodSync(cookie, 0o400);
  writeFileSync(join(node.dir, 'enabled_plugins'), '[].\n');
  writeFileSync(join(node.dir, 'rabbitmq-env.conf'), '');
  writeFileSync(join(node.dir, 'advanced.config'), '[].\n');
  writeFileSync(join(node.dir, 'rabbitmq.conf'), config(node), { mode: 0o600 });
};

const config = (node: RabbitmqNode): string =>
  [
    `listeners.tcp.1 = 127.0.0.1:${node.port}`,
    // Only read when the node has no data yet; later the password is in its database.
    `default_user = ${rabbitmqUser}`,
    `default_pass = ${node.password}`,
    `disk_free_limit.absolute = ${node.diskFreeMinBytes}`,
    'vm_memory_high_watermark.relative = 0.4',
    'log.console = true',
    'log.console.level = info',
    'log.file = false',
    '',
  ].join('\n');

const erlangArguments = [
  // RABBITMQ_ALLOW_INPUT (below) removes this flag, and without a terminal Erlang would exit at once.
  '-noinput',
  '-kernel inet_dist_use_interface {127,0,0,1}',
  // Idle schedulers sleep instead of spinning, because the node shares the cores of a laptop. Schedulers for file I/O
  // spin briefly: a start checks 27,000 paths one by one, and waking a thread for each makes it take 9 to 10 s instead
  // of 5 (measured on 2 cores; the idle node then uses 0.6% of one).
  '+sbwt none +sbwtdcpu none +sbwtdio medium',
].join(' ');

/** Overrides every path and port that the node could otherwise share with the machine's own RabbitMQ. */
export const createNodeEnvironment = (node: RabbitmqNode, epmdPort: number): Record<string, string> => ({
  PATH: `${process.env.PATH ?? ''}:/usr/bin:/bin`,
  LC_ALL: 'C.UTF-8',
  HOME: home(node),
  ERL_EPMD_PORT: String(epmdPort),
  ERL_EPMD_ADDRESS: '127.0.0.1',
  ERL_CRASH_DUMP: join(node.dir, 'erl_crash.dump'),
  // With this the start script is replaced by the Erlang VM instead of waiting beside it, so that a signal to the
  // child process reaches the server.
  RABBITMQ_ALLOW_INPUT: 'yes',
  RABBITMQ_NODENAME: 'uitgo@localhost',
  RABBITMQ_NODE_PORT: String(node.port),
  RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
  RABBITMQ_DIST_PORT: String(node.distPort),
  RABBITMQ_BASE: node.dir,
  RABBITMQ_MNESIA_BASE: join(node.dir, 'data'),
  RABBITMQ_LOG_BASE: node.dir,
  RABBITMQ_LOGS: '-',
  RABBITMQ_PID_FILE: join(node.dir, 'rabbitmq.pid'),
  RABBITMQ_SCHEMA_DIR: join(node.dir, 'schema'),
  RABBITMQ_GENERATED_CONFIG_DIR: join(node.dir, 'config'),
  RABBITMQ_CONFIG_FILE: join(node.dir, 'rabbitmq.conf'),
  RABBITMQ_ADVANCED_CONFIG_FILE: join(node.dir, 'advanced.config'),
  RABBITMQ_CONF_ENV_FILE: join(node.dir, 'rabbitmq-env.conf'),
  RABBITMQ_ENABLED_PLUGINS_FILE: join(node.dir, 'enabled_plugins'),
  RABBITMQ_SERVER_START_ARGS: erlangArguments,
});
