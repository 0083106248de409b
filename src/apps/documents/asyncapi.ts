import { type EventType, eventSchemas } from '@contracts/events.ts';
import { ClientFrame, closeCodes, frameBytesMax, ServerFrame } from '@contracts/realtime.ts';
import { Type } from '@sinclair/typebox';
import { removeSchemaIds } from './openapi.ts';

// Builds the AsyncAPI document: the frames of live connections for clients, and the events between services for
// authors of consumers. Both come from the schemas that validate them.

/** Frames by their `type`. */
const framesByType = ({ anyOf }: { anyOf: readonly { properties: { type: { const: string } } }[] }) =>
  Object.fromEntries(anyOf.map((schema) => [schema.properties.type.const, schema]));

const serverFrames = framesByType(ServerFrame);
const clientFrames = framesByType(ClientFrame);

const summaries: Record<string, string> = {
  welcome: 'The first frame of a connection',
  event: 'An event; seq increases by one without gaps',
  resumed: 'The reply to resume: all missed events were sent, or a snapshot replaces the lost ones',
  error: 'A frame was rejected, with a code',
  resume: 'Replay the events after this seq',
  ack: 'Acknowledge all events up to this seq',
  location: 'The position of the driver',
  locations: 'Recent positions of the driver',
  subscribe: 'Subscribe to a topic, for operators',
  unsubscribe: 'Unsubscribe from a topic',
  subscribed: 'The reply to subscribe',
  unsubscribed: 'The reply to unsubscribe',
  topic: 'An event of a subscribed topic',
  missed: 'Events of the topic were lost; read the current state again',
};

/** The event attributes in the message headers (CloudEvents, binary mode). */
const EventHeaders = Type.Object({
  'ce-specversion': Type.Literal('1.0'),
  'ce-id': Type.String({ description: 'The id of the event, the same for every redelivery' }),
  'ce-type': Type.String(),
  'ce-source': Type.String({ description: 'The context that published the event' }),
  'ce-subject': Type.String({ description: 'The aggregate; events of one subject keep their order' }),
  'ce-time': Type.String({ description: 'RFC 3339, UTC' }),
  traceparent: Type.Optional(Type.String({ description: 'W3C trace context' })),
});

const closeCodeList = Object.entries(closeCodes)
  .map(([name, code]) => `${code} (${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)})`)
  .join(', ');

const ref = (path: string) => ({ $ref: `#/${path}` });
const eventTypes = Object.keys(eventSchemas) as EventType[];

/** The component name of an event type. Some tools allow no dots, so `trip.requested.v1` is `tripRequestedV1`. */
const componentName = (type: string) =>
  type.replace(/[._](\w)/g, (_, letter: string) => letter.toUpperCase());
const frameName = (name: string) => `${name}Frame`;

export function buildEventDocument() {
  return removeSchemaIds({
    asyncapi: '3.0.0',
    info: {
      title: 'UIT-Go',
      version: '1',
      description:
        'Live connections of riders and drivers, and the events between services. `/openapi/json` describes the HTTP API.',
      license: { name: 'MIT', url: 'https://spdx.org/licenses/MIT.html' },
    },
    defaultContentType: 'application/json',
    servers,
    channels: {
      realtime: realtimeChannel(),
      ...Object.fromEntries(eventTypes.map((type) => [componentName(type), eventChannel(type)])),
    },
    operations: {
      sendFrames: frameOperation('send', 'Frames from the server', serverFrames),
      takeFrames: frameOperation('receive', 'Frames from the client', clientFrames),
      ...Object.fromEntries(
        eventTypes.map((type) => [`publish${capital(componentName(type))}`, publishOperation(type)]),
      ),
    },
    components: { securitySchemes, schemas: { EventHeaders }, messages: messages() },
  });
}

const servers = {
  edge: {
    host: '{host}',
    protocol: 'wss',
    description: 'The public edge',
    variables: { host: { default: 'localhost:8080', description: 'The server of this document' } },
  },
  broker: {
    host: '{host}',
    protocol: 'amqp',
    description: 'RabbitMQ inside the deployment; the topic exchange is <NAMESPACE>.events',
    variables: { host: { default: 'localhost:5672' } },
  },
};

const securitySchemes = {
  ticket: {
    type: 'httpApiKey',
    name: 'ticket',
    in: 'query',
    description: 'A ticket from POST /v1/realtime/ticket; single use, valid for a few seconds',
  },
  broker: { type: 'userPassword', description: 'A RabbitMQ account' },
};

const messages = () => ({
  ...Object.fromEntries(
    Object.entries({ ...serverFrames, ...clientFrames }).map(([name, frame]) => [
      frameName(name),
      frameMessage(name, frame),
    ]),
  ),
  ...Object.fromEntries(eventTypes.map((type) => [componentName(type), eventMessage(type)])),
});

const realtimeChannel = () => ({
  address: '/v1/realtime',
  title: 'Live connection',
  description: `Each frame is one JSON object of at most ${frameBytesMax} bytes. The connection is opened with a ticket from POST /v1/realtime/ticket. The server closes it with one of the codes ${closeCodeList}.`,
  servers: [ref('servers/edge')],
  bindings: {
    ws: {
      method: 'GET',
      query: { type: 'object', required: ['ticket'], properties: { ticket: { type: 'string' } } },
    },
  },
  messages: Object.fromEntries(
    Object.keys({ ...serverFrames, ...clientFrames }).map((name) => [
      name,
      ref(`components/messages/${frameName(name)}`),
    ]),
  ),
});

const frameOperation = (action: 'send' | 'receive', summary: string, frames: object) => ({
  action,
  channel: ref('channels/realtime'),
  summary,
  security: [ref('components/securitySchemes/ticket')],
  messages: Object.keys(frames).map((name) => ref(`channels/realtime/messages/${name}`)),
});

const capital = (name: string) => `${name[0]?.toUpperCase()}${name.slice(1)}`;

const frameMessage = (name: string, payload: object) => ({
  name,
  title: `Frame ${name}`,
  ...(summaries[name] === undefined ? {} : { summary: summaries[name] }),
  payload,
});

const eventMessage = (type: EventType) => ({
  name: type,
  title: type,
  summary: `Published by the ${type.split('.')[0]} context, delivered at least once and in order within its subject`,
  headers: ref('components/schemas/EventHeaders'),
  payload: eventSchemas[type],
});

const eventChannel = (type: EventType) => ({
  address: type,
  title: type,
  description:
    'The address is the routing key. Under load, several events of one type are sent as one message, a CloudEvents batch (application/cloudevents-batch+json).',
  servers: [ref('servers/broker')],
  messages: { [componentName(type)]: ref(`components/messages/${componentName(type)}`) },
});

const publishOperation = (type: EventType) => ({
  action: 'send',
  channel: ref(`channels/${componentName(type)}`),
  summary: `The ${type.split('.')[0]} context publishes ${type}`,
  security: [ref('components/securitySchemes/broker')],
  messages: [ref(`channels/${componentName(type)}/messages/${componentName(type)}`)],
});
