/** The types of mime-db 1.54 that compress, besides `text/*` and those that end in `+json`, `+text` or `+xml`; and NDJSON. */
const compressibleTypes: ReadonlySet<string> = /* @__PURE__ */ (() =>
  new Set([
    ...[
      ...['dart', 'ecmascript', 'javascript', 'json', 'octet-stream', 'postscript', 'raml+yaml', 'rtf', 'tar', 'toml'],
      ...['vnd.dart', 'vnd.ms-fontobject', 'vnd.ms-opentype', 'wasm', 'x-httpd-php', 'x-javascript', 'x-sh', 'x-tar'],
      ...['x-ns-proxy-autoconfig', 'x-virtualbox-hdd', 'x-virtualbox-ova', 'x-virtualbox-ovf', 'x-virtualbox-vbox'],
      ...['x-virtualbox-vdi', 'x-virtualbox-vhd', 'x-virtualbox-vmdk', 'x-www-form-urlencoded', 'xml', 'xml-dtd'],
      ...['ndjson', 'x-ndjson', 'jsonl'],
    ].map((name) => `application/${name}`),
    ...[
      'font/otf',
      'font/ttf',
      'image/bmp',
      'image/vnd.adobe.photoshop',
      'image/vnd.microsoft.icon',
      'image/vnd.ms-dds',
    ],
    ...['image/x-icon', 'image/x-ms-bmp', 'message/rfc822', 'model/gltf-binary', 'x-shader/x-fragment'],
    'x-shader/x-vertex',
  ]))()

/** How many results are remembered. A server has few types, and parsing one costs more than the rest of a plan. */
const maxContentTypes = 100

/**
 * Tells whether a body of a `Content-Type` is worth compressing.
 *
 * @param types - the user's own decision; where it returns `undefined`, the list of known types decides
 */
export function createTypeCheck(
  types: ((contentType: string) => boolean | undefined) | undefined,
): (contentType: string) => boolean {
  const known = new Map<string, boolean>()
  return (contentType) => {
    const found = known.get(contentType)
    if (found !== undefined) return found
    if (known.size === maxContentTypes) known.clear()
    const type = (contentType.split(';', 1)[0] as string).trim().toLowerCase()
    const isCompressible = (type === '' ? undefined : types?.(type)) ?? isKnownToCompress(type)
    known.set(contentType, isCompressible)
    return isCompressible
  }
}

function isKnownToCompress(type: string): boolean {
  // An encoder would hold back the events for some milliseconds.
  if (type === 'text/event-stream') return false
  return compressibleTypes.has(type) || /^text\/|\+(?:json|text|xml)$/.test(type)
}
