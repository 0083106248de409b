import { type EventType, eventSchemas } from '@contracts/events.ts';
import { ClientFrame, closeCodes, frameBytesMax, ServerFrame } from '@contracts/realtime.ts';
import { Type } from '@sinclair/typebox';
import { removeSchemaIds } from './openapi.ts';

// The AsyncAPI document: the frames of live connections, for everybody, and the events between the
// services, for those who write a consumer. Both from the very schemas that check them.

/** A frame names itself by its `type`. */
const framesOf = ({ anyOf }: { anyOf: readonly { properties: { type: { const: string } } }[] }) =>
  Object.fromEntries(anyOf.map((schema) => [schema.properties.type.const, schema]));

const sentFrames = framesOf(ServerFrame);
const takenFrames = framesOf(ClientFrame);

const summaries: Record<string, string> = {
  welcome: 'The first frame of a connection',
  event: 'Something happened; seq rises by one, without gaps',
  resumed: 'The answer to resume: everything missed has been sent, or it is lost and here is a snapshot',
  error: 'A frame was refused, with its code',
  resume: 'Send again what came after this seq',
  ack: 'Everything up to this seq has been seen',
  location: 'Where a driver is',
  locations: 'Where a driver was lately',
  subscribe: 'Hear everything of a topic from now on, for operators',
  unsubscribe: 'Hear of the topic no more',
  subscribed: 'The answer to subscribe',
  unsubscribed: 'The answer to unsubscribe',
  topic: 'Something happened, for those who subscribed',
  missed: 'Some of the topic was lost: read the state anew',
};

/** The attributes that travel beside the data of an event (CloudEvents, binary mode). */
const EventHeaders = Type.Object({
  'ce-specversion': Type.Literal('1.0'),
  'ce-id': Type.String({ description: 'The same for the same event, however often it comes' }),
  'ce-type': Type.String(),
  'ce-source': Type.String({ description: 'The context that committed it' }),
  'ce-subject': Type.String({ description: 'The aggregate: events of one subject keep their order' }),
  'ce-time': Type.String({ description: 'RFC 3339, UTC' }),
  traceparent: Type.Optional(Type.String({ description: 'W3C trace context' })),
});

const closings = Object.entries(closeCodes)
  .map(([name, code]) => `${code} (${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)})`)
  .join(', ');

const ref = (path: string) => ({ $ref: `#/${path}` });
const eventTypes = Object.keys(eventSchemas) as EventType[];

/** Names of components may hold no dots everywhere: `trip.requested.v1` is `tripRequestedV1`. */
const nameOf = (type: string) => type.replace(/[._](\w)/g, (_, letter: string) => letter.toUpperCase());
const frameName = (name: string) => `${name}Frame`;

export function buildEventDocument() {
  return removeSchemaIds({
    asyncapi: '3.0.0',
    info: {
      title: 'UIT-Go',
      version: '1',
      description:
        'Live connections of riders and drivers, and the events between the services. The HTTP surface is described by `/openapi/json`.',
      license: { name: 'MIT', url: 'https://spdx.org/licenses/MIT.html' },
    },
    defaultContentType: 'application/json',
    servers,
    channels: {
      realtime: realtimeChannel(),
      ...Object.fromEntries(eventTypes.map((type) => [nameOf(type), eventChannel(type)])),
    },
    operations: {
      sendFrames: frameOperation('send', 'What the server says', sentFrames),
      takeFrames: frameOperation('receive', 'What a client may say', takenFrames),
      ...Object.fromEntries(eventTypes.map((type) => [`publish${capital(nameOf(type))}`, publishing(type)])),
    },
    components: { securitySchemes, schemas: { EventHeaders }, messages: messages() },
  });
}

const servers = {
  edge: {
    host: '{host}',
    protocol: 'wss',
    description: 'The public edge',
    variables: { host: { default: 'localhost:8080', description: 'Where this document was found' } },
  },
  broker: {
    host: '{host}',
    protocol: 'amqp',
    description: 'RabbitMQ, within the deployment: the topic exchange <NAMESPACE>.events',
    variables: { host: { default: 'localhost:5672' } },
  },
};

const securitySchemes = {
  ticket: {
    type: 'httpApiKey',
    name: 'ticket',
    in: 'query',
    description: 'Of POST /v1/realtime/ticket: single use, good for seconds',
  },
  broker: { type: 'userPassword', description: 'An account of the broker' },
};

const messages = () => ({
  ...Object.fromEntries(
    Object.entries({ ...sentFrames, ...takenFrames }).map(([name, frame]) => [
      frameName(name),
      frameMessage(name, frame),
    ]),
  ),
  ...Object.fromEntries(eventTypes.map((type) => [nameOf(type), eventMessage(type)])),
});

const realtimeChannel = () => ({
  address: '/v1/realtime',
  title: 'A live connection',
  description: `One JSON object a frame, ${frameBytesMax} bytes at most. Opened with a ticket of POST /v1/realtime/ticket. The server closes with ${closings}.`,
  servers: [ref('servers/edge')],
  bindings: {
    ws: {
      method: 'GET',
      query: { type: 'object', required: ['ticket'], properties: { ticket: { type: 'string' } } },
    },
  },
  messages: Object.fromEntries(
    Object.keys({ ...sentFrames, ...takenFrames }).map((name) => [
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
  title: `The frame ${name}`,
  ...(summaries[name] === undefined ? {} : { summary: summaries[name] }),
  payload,
});

const eventMessage = (type: EventType) => ({
  name: type,
  title: type,
  summary: `Committed by the ${type.split('.')[0]} context; at least once, in the order of its subject`,
  headers: ref('components/schemas/EventHeaders'),
  payload: eventSchemas[type],
});

const eventChannel = (type: EventType) => ({
  address: type,
  title: type,
  description:
    'The routing key. Under load several events of one type travel as one message, a CloudEvents batch (application/cloudevents-batch+json).',
  servers: [ref('servers/broker')],
  messages: { [nameOf(type)]: ref(`components/messages/${nameOf(type)}`) },
});

const publishing = (type: EventType) => ({
  action: 'send',
  channel: ref(`channels/${nameOf(type)}`),
  summary: `The ${type.split('.')[0]} context publishes ${type}`,
  security: [ref('components/securitySchemes/broker')],
  messages: [ref(`channels/${nameOf(type)}/messages/${nameOf(type)}`)],
});
