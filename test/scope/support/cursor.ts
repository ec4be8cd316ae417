/** The part of a connection of `pg` that reads the rows of a statement in chunks. */
interface PortalConnection {
  parse(options: { readonly text: string }): void
  bind(options: { readonly values: readonly unknown[] }): void
  execute(options: { readonly rows: number }): void
  close(options: { readonly type: 'P' }): void
  flush(): void
  sync(): void
}

/** Does for a single column of numbers what `pg-cursor` does, which Kysely takes as `cursor`. */
export class Cursor {
  readonly #text: string
  readonly #values: readonly unknown[]
  readonly #connected = Promise.withResolvers<PortalConnection>()
  readonly #ended = Promise.withResolvers<void>()
  #chunk = Promise.withResolvers<{ n: number }[]>()
  #rows: { n: number }[] = []
  #isOver = false

  constructor(text: string, values: readonly unknown[]) {
    this.#text = text
    this.#values = values
  }

  async read(rows: number): Promise<{ n: number }[]> {
    const connection = await this.#connected.promise
    if (this.#isOver) return []
    this.#chunk = Promise.withResolvers()
    connection.execute({ rows })
    connection.flush()
    return this.#chunk.promise
  }

  async close(): Promise<void> {
    const connection = await this.#connected.promise
    if (!this.#isOver) {
      this.#isOver = true
      connection.close({ type: 'P' })
      connection.sync()
    }
    return this.#ended.promise
  }

  submit(connection: PortalConnection): void {
    connection.parse({ text: this.#text })
    connection.bind({ values: this.#values })
    this.#connected.resolve(connection)
  }

  handleDataRow({ fields }: { readonly fields: readonly unknown[] }): void {
    this.#rows.push({ n: Number(fields[0]) })
  }

  handlePortalSuspended(): void {
    this.#chunk.resolve(this.#rows)
    this.#rows = []
  }

  handleCommandComplete(_message: unknown, connection: PortalConnection): void {
    this.#isOver = true
    this.handlePortalSuspended()
    connection.sync()
  }

  handleError(error: unknown, connection: PortalConnection): void {
    if (!this.#isOver) connection.sync()
    this.#isOver = true
    this.#chunk.reject(error)
  }

  handleReadyForQuery(): void {
    this.#ended.resolve()
  }
}
