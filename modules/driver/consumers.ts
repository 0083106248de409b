import { type Bus, done } from '@platform/bus/bus.ts';
import { createConsumer } from '@platform/bus/consumer.ts';
import type { Worker } from '@platform/lifecycle.ts';
import { signOutEvents, tripEvents } from './events.ts';
import type { DriverService } from './service.ts';
import { peopleConsumer, tripsConsumer } from './store/drivers.ts';

/** Applies trip events to the state of the drivers whom they name. */
export const createTripConsumer = (bus: Bus, service: DriverService, prefetch: number): Worker =>
  createConsumer(bus, {
    queue: tripsConsumer,
    events: tripEvents,
    prefetch,
    async handle({ event }) {
      await service.applyTripEvent(event);
      return done;
    },
  });

/** Takes drivers offline who signed out or were banned. */
export const createSignOutConsumer = (bus: Bus, service: DriverService, prefetch: number): Worker =>
  createConsumer(bus, {
    queue: peopleConsumer,
    events: signOutEvents,
    prefetch,
    async handle({ event }) {
      await service.applySignOut(event);
      return done;
    },
  });
