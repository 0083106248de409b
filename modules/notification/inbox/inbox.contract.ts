import { describe, expect, test } from 'bun:test';
import type { EventId, PersonId } from '@contracts/ids.ts';
import { until } from '@testing/until.ts';
import fc from 'fast-check';
import type { InboxBounds, PersonInbox } from './inbox.ts';

export interface InboxHarness {
  /** Creates an inbox over a new store, or over the store that an earlier call created for `name`. */
  create(bounds: InboxBounds, name?: string): Promise<PersonInbox>;
  /** Advances the time of the store, at least by `ms`. */
  advanceTime(ms: number): Promise<void>;
  /** Deletes everything in the store of `name`. */
  loseStore(name: string): Promise<void>;
}

const bounds: InboxBounds = { lengthMax: 5, entriesTtlMs: 3_600_000 };
const nowMs = 1_763_800_000_000;
let count = 0;
const personId = () => `00000000-0000-7000-8000-${String(++count).padStart(12, '0')}` as PersonId;
const eventId = (n: number) => `00000000-0000-7000-9000-${String(n).padStart(12, '0')}` as EventId;
const event = (n: number) => ({ eventId: eventId(n), body: `"id":"${n}"}` });

/** The contract that every `PersonInbox` must satisfy. */
export function inboxContract(name: string, harness: InboxHarness) {
  async function createFilledInbox(inbox: PersonInbox, person: PersonId, events: number) {
    const [base = 0] = await inbox.lastSeqs([person], nowMs);
    for (let n = 1; n <= events; n++) await inbox.append(person, event(n), nowMs + n);
    return base;
  }

  describe(`inbox ${name}`, () => {
    test('the seq of a person rises by one with each event, independently of other people', async () => {
      const inbox = await harness.create(bounds);
      const [a, b] = [personId(), personId()];
      const [base = 0] = await inbox.lastSeqs([a], nowMs);
      for (let n = 1; n <= 3; n++) {
        expect((await inbox.append(a, event(n), nowMs + n)).seq).toBe(base + n);
        await inbox.append(b, event(n), nowMs + n);
      }
      expect(await inbox.lastSeqs([a, b], nowMs + 9)).toEqual([base + 3, nowMs + 1 + 3]);
    });

    test('an event that is appended twice keeps its seq and position', async () => {
      const inbox = await harness.create(bounds);
      const person = personId();
      const first = await inbox.append(person, event(1), nowMs);
      await inbox.append(person, event(2), nowMs);
      expect((await inbox.append(person, event(1), nowMs + 5)).seq).toBe(first.seq);
      expect((await inbox.read(person, 0, 10, nowMs)).entries.map(({ body }) => body)).toEqual([
        '"id":"1"}',
        '"id":"2"}',
      ]);
    });

    test('concurrent appends get distinct seqs without gaps', async () => {
      const inbox = await harness.create({ ...bounds, lengthMax: 100 });
      const person = personId();
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, n) => inbox.append(person, event(n % 50), nowMs)),
      );
      const seqs = Array.from({ length: 50 }, (_, n) => nowMs + 1 + n);
      expect(answers.map(({ seq }) => seq)).toEqual([...seqs, ...seqs]);
    });

    test('reading after a seq returns the following entries in pages, then none', async () => {
      const inbox = await harness.create(bounds);
      const person = personId();
      const base = await createFilledInbox(inbox, person, 4);
      const first = await inbox.read(person, base + 1, 2, nowMs);
      expect(first).toEqual({
        entries: [
          { seq: base + 2, body: '"id":"2"}' },
          { seq: base + 3, body: '"id":"3"}' },
        ],
        isComplete: true,
        lastSeq: base + 4,
      });
      const second = await inbox.read(person, base + 3, 2, nowMs);
      expect(second.entries.map(({ seq }) => seq)).toEqual([base + 4]);
      expect(await inbox.read(person, base + 4, 2, nowMs)).toEqual({
        entries: [],
        isComplete: true,
        lastSeq: base + 4,
      });
    });

    test('reading after 0 returns every entry while none has been dropped', async () => {
      const inbox = await harness.create(bounds);
      const person = personId();
      const base = await createFilledInbox(inbox, person, 3);
      const page = await inbox.read(person, 0, 10, nowMs);
      expect(page.isComplete).toBe(true);
      expect(page.entries.map(({ seq }) => seq)).toEqual([base + 1, base + 2, base + 3]);
    });

    test('an inbox without events is complete and knows its next seq', async () => {
      const inbox = await harness.create(bounds);
      const person = personId();
      const { isComplete, entries, lastSeq } = await inbox.read(person, 0, 10, nowMs);
      expect({ complete: isComplete, entries }).toEqual({ complete: true, entries: [] });
      expect((await inbox.append(person, event(1), nowMs + 70)).seq).toBe(lastSeq + 1);
    });

    test('beyond the maximum length the oldest entries are dropped, and reading from before them is incomplete', async () => {
      const inbox = await harness.create(bounds);
      const person = personId();
      const base = await createFilledInbox(inbox, person, 8);
      expect((await inbox.read(person, base + 3, 10, nowMs)).entries.map(({ seq }) => seq)).toEqual(
        [4, 5, 6, 7, 8].map((n) => base + n),
      );
      for (const after of [0, base + 2, base, base - 1, 1])
        expect(await inbox.read(person, after, 10, nowMs)).toEqual({
          entries: [],
          isComplete: false,
          lastSeq: base + 8,
        });
    });

    test('reading after a seq that was never assigned is incomplete', async () => {
      const inbox = await harness.create(bounds);
      const person = personId();
      const base = await createFilledInbox(inbox, person, 2);
      for (const after of [base + 3, Number.MAX_SAFE_INTEGER])
        expect(await inbox.read(person, after, 10, nowMs)).toEqual({
          entries: [],
          isComplete: false,
          lastSeq: base + 2,
        });
    });

    test('entries expire after the last append, and the seq continues', async () => {
      const inbox = await harness.create({ ...bounds, entriesTtlMs: 300 });
      const person = personId();
      const base = await createFilledInbox(inbox, person, 2);
      await harness.advanceTime(300);
      await until(async () => !(await inbox.read(person, base + 1, 10, nowMs)).isComplete);
      expect(await inbox.read(person, base + 2, 10, nowMs)).toEqual({
        entries: [],
        isComplete: true,
        lastSeq: base + 2,
      });
      expect((await inbox.append(person, event(3), nowMs)).seq).toBe(base + 3);
    });

    test('after a loss of the store no seq is assigned again, and reading from before it is incomplete', async () => {
      const inbox = await harness.create(bounds, 'lossy');
      const person = personId();
      const base = await createFilledInbox(inbox, person, 3);
      await harness.loseStore('lossy');
      const newInbox = await harness.create(bounds, 'lossy');
      const { seq } = await newInbox.append(person, event(4), nowMs + 1_000);
      expect(seq).toBeGreaterThan(base + 3);
      for (let n = 5; n <= 9; n++) await newInbox.append(person, event(n), nowMs + 1_000);
      for (const after of [base, base + 1, base + 2, base + 3])
        expect((await newInbox.read(person, after, 10, nowMs + 1_000)).isComplete).toBe(false);
    });

    test('a body is returned unchanged', async () => {
      const inbox = await harness.create(bounds);
      const person = personId();
      const body = `"data":{"name":"Đường Nguyễn Huệ \\"é\\" \\u0000 🚗","n":1e21}}`;
      await inbox.append(person, { eventId: eventId(1), body }, nowMs);
      expect((await inbox.read(person, 0, 1, nowMs)).entries[0]?.body).toBe(body);
    });

    test('over any sequence of appends and reads, a reader sees every event once or learns that its read is incomplete', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.oneof(
              fc.record({ kind: fc.constant('append' as const), event: fc.integer({ min: 1, max: 40 }) }),
              fc.record({ kind: fc.constant('read' as const), limit: fc.integer({ min: 1, max: 7 }) }),
            ),
            { maxLength: 60 },
          ),
          async (steps) => {
            const inbox = await harness.create(bounds);
            const person = personId();
            const [base = 0] = await inbox.lastSeqs([person], nowMs);
            let cursor = base;
            let last = base;
            const bodyBySeq = new Map<number, string>();
            for (const step of steps) {
              if (step.kind === 'append') {
                const { body } = event(step.event);
                const keptSeqs = Array.from({ length: bounds.lengthMax }, (_, n) => last - n);
                const existingSeq = keptSeqs.find((seq) => bodyBySeq.get(seq) === body);
                const { seq } = await inbox.append(person, event(step.event), nowMs);
                expect(seq).toBe(existingSeq ?? ++last);
                bodyBySeq.set(seq, body);
                continue;
              }
              const page = await inbox.read(person, cursor, step.limit, nowMs);
              expect(page.lastSeq).toBe(last);
              expect(page.isComplete).toBe(last - cursor <= bounds.lengthMax);
              for (const { seq, body } of page.entries) {
                expect(seq).toBe(++cursor);
                expect(body).toBe(bodyBySeq.get(seq) ?? 'none');
              }
              if (page.isComplete) expect(page.entries.length > 0 || cursor === last).toBe(true);
              else cursor = last;
            }
          },
        ),
        { numRuns: 40 },
      );
    });
  });
}
