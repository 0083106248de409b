export { createTcpProxy, type TcpProxy } from '../cli/faults/proxy.ts';
