import { expect, test } from 'bun:test';
import { createMetrics } from './metrics.ts';

test('counters add up by their labels, and gauges are read on export', () => {
  const metrics = createMetrics();
  metrics.count('requests_total', { route: '/a', status: '200' });
  metrics.count('requests_total', { route: '/a', status: '200' }, 2);
  metrics.count('requests_total', { route: '/b', status: '404' });
  let waiting = 1;
  metrics.gauge('waiting', () => waiting);
  waiting = 7;
  const lines = metrics.text().split('\n');
  expect(lines).toContain('requests_total{route="/a",status="200"} 3');
  expect(lines).toContain('requests_total{route="/b",status="404"} 1');
  expect(lines).toContain('waiting 7');
});

test('a histogram counts each value in every bucket that contains it', () => {
  const metrics = createMetrics();
  for (const ms of [0.5, 3, 40, 99_000]) metrics.observe('took_ms', ms, { route: '/a' });
  const lines = metrics.text().split('\n');
  expect(lines).toContain('took_ms_bucket{route="/a",le="1"} 1');
  expect(lines).toContain('took_ms_bucket{route="/a",le="50"} 3');
  expect(lines).toContain('took_ms_bucket{route="/a",le="+Inf"} 4');
  expect(lines).toContain('took_ms_count{route="/a"} 4');
  expect(lines).toContain('took_ms_sum{route="/a"} 99043.5');
});

test('a label value cannot break out of its quotes, and series beyond the limit are dropped', () => {
  const metrics = createMetrics();
  metrics.count('seen_total', { who: 'a"} 1\nevil 1\\' });
  expect(metrics.text()).toBe('seen_total{who="a_} 1_evil 1_"} 1\n');
  for (let n = 0; n < 6_000; n++) metrics.count('many_total', { n: String(n) });
  expect(metrics.text().split('\n').length).toBeLessThan(5_100);
});
