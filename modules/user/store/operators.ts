import type { EventId, PersonId } from '@contracts/ids.ts';
import type { OperatorActionKind } from '@contracts/operators.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { endAllSessions, insertSignedOutEvent } from './sign-outs.ts';

/** An action of an operator, with its reason. */
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
    /** Bans the person, ends every session and writes the event. Changes nothing if they are already banned. */
    async ban({ id, operatorId, personId, reason, atMs }: BanChange, eventId: EventId): Promise<void> {
      await sql`
        with banned as (
          update people set banned_at_ms = ${atMs}, updated_at_ms = ${atMs}
          where id = ${personId} and banned_at_ms is null returning id, id as person_id, role
        ), recorded as (
          insert into operator_actions (id, operator_id, action, person_id, reason, at_ms)
          select ${id}::uuid, ${operatorId}::uuid, 'ban', id, ${reason}::text, ${atMs}::bigint from banned
        ), ${endAllSessions(sql, 'banned', atMs, 'banned')}
        ${insertSignedOutEvent(sql, { eventId, atMs }, 'banned', 'banned')}`;
    },

    /** Lets the person log in again. Earlier sessions stay ended. Changes nothing if they are not banned. */
    async unban({ id, operatorId, personId, reason, atMs }: BanChange): Promise<void> {
      await sql`
        with unbanned as (
          update people set banned_at_ms = null, updated_at_ms = ${atMs}
          where id = ${personId} and banned_at_ms is not null returning id, id as person_id
        ), recorded as (
          insert into operator_actions (id, operator_id, action, person_id, reason, at_ms)
          select ${id}::uuid, ${operatorId}::uuid, 'unban', id, ${reason}::text, ${atMs}::bigint from unbanned
        ), ${endAllSessions(sql, 'unbanned', atMs, 'banned')}
        select count(*) from ended`;
    },

    async recordKeyRotation({ id, operatorId, reason, atMs }: Omit<OperatorAction, 'action'>): Promise<void> {
      await sql`
        insert into operator_actions (id, operator_id, action, reason, at_ms)
        values (${id}, ${operatorId}, 'rotate_keys', ${reason}, ${atMs})`;
    },

    /** The operator actions on a person, newest first. */
    async findActionsOn(personId: PersonId): Promise<OperatorAction[]> {
      return sql<OperatorAction[]>`
        select id, operator_id as "operatorId", action, reason, at_ms as "atMs"
        from operator_actions where person_id = ${personId}
        order by at_ms desc, id desc limit ${actionsMax}`;
    },
  };
}
