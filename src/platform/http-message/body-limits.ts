/**
 * A body up to this size, or of unknown length, is received completely before any instance is chosen: a slow
 * sender occupies only its own connection, and the request can be repeated. Larger bodies are streamed.
 */
export const bufferedBodyBytesMax = 64 * 1024;
