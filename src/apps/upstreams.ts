import type { Worker } from '@platform/lifecycle.ts';
import { createDiscovery, parseInstanceSource } from '@platform/upstream/discovery.ts';
import { createUpstreamFetch, type UpstreamFetch } from '@platform/upstream/fetch.ts';
import { createHealthChecks } from '@platform/upstream/health.ts';
import { createUpstreamSend } from '@platform/upstream/send.ts';
import type { UpstreamSettings } from '@platform/upstream/settings.ts';
import { createUpstream, type Upstream } from '@platform/upstream/upstream.ts';
import type { Runtime } from './process.ts';

/** The clients of one process for the other services of a fleet. */
export interface UpstreamClients<Name extends string> {
  upstreams: Record<Name, Upstream>;
  /** Send the calls that this service makes itself. */
  callers: Record<Name, UpstreamFetch>;
  /** Discover the instances and check their health. */
  workers: Worker[];
}

// The first instance and one other. More attempts would only spread an outage.
const attemptsMax = 2;

/** Opens the balanced client of each service. The settings say where its instances are. */
export function openUpstreams<Name extends string>(
  runtime: Runtime<UpstreamSettings>,
  settings: Record<Name, string>,
): UpstreamClients<Name> {
  const { settings: set, clock, log } = runtime;
  const names = Object.keys(settings) as Name[];
  const opened = names.map((name) => ({ name, ...open(runtime, name, settings[name]) }));
  const send = createUpstreamSend({ clock, log, attemptsMax, timeoutMs: set.UPSTREAM_TIMEOUT_MS });
  const byName = <Value>(pick: (upstream: Upstream) => Value) =>
    Object.fromEntries(opened.map(({ name, upstream }) => [name, pick(upstream)])) as Record<Name, Value>;
  const healthChecks = createHealthChecks({
    upstreams: opened.map(({ upstream }) => upstream),
    clock,
    log,
    intervalMs: set.HEALTH_CHECK_MS,
  });
  return {
    upstreams: byName((upstream) => upstream),
    callers: byName((upstream) => createUpstreamFetch({ upstream, send, clock })),
    workers: [...opened.flatMap(({ discovery }) => discovery ?? []), healthChecks],
  };
}

function open(runtime: Runtime<UpstreamSettings>, name: string, setting: string) {
  const { settings: set, clock, log, metrics } = runtime;
  const source = parseInstanceSource(setting);
  const upstream = createUpstream({
    name,
    urls: source.kind === 'list' ? source.urls : [],
    concurrencyMax: set.UPSTREAM_CONCURRENCY_MAX,
    connectTimeoutMs: set.UPSTREAM_CONNECT_TIMEOUT_MS,
    clock,
    log,
    metrics,
  });
  runtime.onClose(() => upstream.close());
  if (source.kind === 'list') return { upstream };
  const refreshMs = set.INSTANCES_REFRESH_MS;
  return { upstream, discovery: createDiscovery({ upstream, source, refreshMs, clock, log }) };
}
