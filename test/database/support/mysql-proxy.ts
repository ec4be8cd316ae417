import { connect, createServer } from 'node:net'

/** A proxy in front of MySQL that numbers its connections itself, as ProxySQL does, and may lead to another server later. */
export interface MysqlProxy {
  readonly port: number
  /** The number that the next clients get for their thread; the server's own while it is `undefined`. */
  threadId: number | undefined
  /** The port of the server that the next clients reach. */
  target: number
  close(): void
}

export async function startMysqlProxy(target: number): Promise<MysqlProxy> {
  const server = createServer((client) => {
    const upstream = connect(proxy.target, '127.0.0.1')
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy())
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy())
    upstream.once('data', (greeting) => {
      // Four bytes of header, one of version, the server's version as text up to a zero, then the number.
      if (proxy.threadId !== undefined) greeting.writeUInt32LE(proxy.threadId, greeting.indexOf(0, 5) + 1)
      client.write(greeting)
      client.pipe(upstream)
      upstream.pipe(client)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: MysqlProxy = {
    port: (server.address() as { port: number }).port,
    threadId: undefined,
    target,
    close: () => void server.close(),
  }
  return proxy
}
