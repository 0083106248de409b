import type { EventId, PersonId } from '@contracts/ids.ts';
import type { OperatorActionKind } from '@contracts/operators.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { endAllSessions, insertSignedOutEvent } from './sign-outs.ts';

/** What an operator did, and why. */
export interface OperatorAction {
  id: string;
  operatorId: PersonId;
  action: OperatorActionKind;
  reason: string;
  atMs: number;
}

export type BanChange = Omit<OperatorAction, 'action'> & { personId: PersonId };

const actionsMax = 100;

export function createOperatorStore(sql: Sql) {
  return {
    /** Bans the person, ends every session, and publishes it. Changes nothing for who is banned already. */
    async ban({ id, operatorId, personId, reason, atMs }: BanChange, eventId: EventId): Promise<void> {
      await sql`
        with banned as (
          update people set banned_at_ms = ${atMs}, updated_at_ms = ${atMs}
          where id = ${personId} and banned_at_ms is null returning id, id as person_id, role
        ), noted as (
          insert into operator_actions (id, operator_id, action, person_id, reason, at_ms)
          select ${id}::uuid, ${operatorId}::uuid, 'ban', id, ${reason}::text, ${atMs}::bigint from banned
        ), ${endAllSessions(sql, 'banned', atMs, 'banned')}
        ${insertSignedOutEvent(sql, { eventId, atMs }, 'banned', 'banned')}`;
    },

    /** Lets the person log in again; what was open before stays closed. Changes nothing for who is not banned. */
    async unban({ id, operatorId, personId, reason, atMs }: BanChange): Promise<void> {
      await sql`
        with freed as (
          update people set banned_at_ms = null, updated_at_ms = ${atMs}
          where id = ${personId} and banned_at_ms is not null returning id, id as person_id
        ), noted as (
          insert into operator_actions (id, operator_id, action, person_id, reason, at_ms)
          select ${id}::uuid, ${operatorId}::uuid, 'unban', id, ${reason}::text, ${atMs}::bigint from freed
        ), ${endAllSessions(sql, 'freed', atMs, 'banned')}
        select count(*) from ended`;
    },

    async recordKeyRotation({ id, operatorId, reason, atMs }: Omit<OperatorAction, 'action'>): Promise<void> {
      await sql`
        insert into operator_actions (id, operator_id, action, reason, at_ms)
        values (${id}, ${operatorId}, 'rotate_keys', ${reason}, ${atMs})`;
    },

    /** What was done to a person, newest first. */
    async findActionsOn(personId: PersonId): Promise<OperatorAction[]> {
      return sql<OperatorAction[]>`
        select id, operator_id as "operatorId", action, reason, at_ms as "atMs"
        from operator_actions where person_id = ${personId}
        order by at_ms desc, id desc limit ${actionsMax}`;
    },
  };
}
